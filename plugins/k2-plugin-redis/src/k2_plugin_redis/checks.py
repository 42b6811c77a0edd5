"""What `k2 doctor` and a starting writer ask of a Redis: is it there, is it one that can be relied on.

Faults survived: away, frozen, loading, a user who may not ask: within about a second and a half, as findings.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from k2_plugin_redis.link import AwayError, ClusterError, Link
from k2_plugin_redis.settings import RedisSettings
from k2core.plugin import Clock, ConfigError, DedupAwayError, Finding

LEAST_MS = 500.0
"""A checker waits so long at least: what is slower than `timeout_ms` is told as slow, not as away."""
LEAST_VERSION = (6, 2)
FULL_SHARE = 0.9
SKEW_S = 5.0
TRIES = 3


def require(settings: RedisSettings, clock: Clock) -> None:
    """Make sure that a writer may begin.

    Raises:
        ConfigError: It is a Redis Cluster.
        DedupAwayError: Redis does not answer, and `on_failure` is `stop`.
    """
    link = _link(settings, clock)
    try:
        link.ping()
        link.check_policy()
    except ClusterError as error:
        raise ConfigError(f"dedup.url: {address(settings)} is {error.detail}") from error
    except AwayError as error:
        if settings.on_failure != "stop":
            return
        raise DedupAwayError(
            f'Redis at {address(settings)} is {error}; with [dedup] on_failure = "stop" nothing is written without it: '
            "start it, or correct dedup.url"
        ) from error
    finally:
        link.close()


def findings(settings: RedisSettings, clock: Clock) -> Iterator[Finding]:
    """Everything worth knowing of the Redis that the settings name."""
    link = _link(settings, clock)
    try:
        took_ms = min(_timed(link, clock) for _ in range(TRIES))
        yield _reached(settings, took_ms)
        try:
            link.check_policy()
            info = link.info()
        except AwayError as error:
            yield _refused(settings, error)
        else:
            yield from _told(settings, info)
        yield _skew(link, clock)
    except AwayError as error:
        meanwhile = "the writer stops" if settings.on_failure == "stop" else "the writer does without it, more slowly"
        detail = f"{address(settings)}: {error}; {meanwhile} meanwhile"
        mend = "correct dedup.url, its user, password or certificates in k2.toml"
        yield Finding(
            "redis",
            False,
            detail,
            mend if error.reason == "refused" else "start Redis there, or correct dedup.url in k2.toml",
        )
    finally:
        link.close()


def address(settings: RedisSettings) -> str:
    """Where Redis is, without user and password."""
    if settings.sentinels:
        return f"{settings.primary} (Sentinels {', '.join(settings.sentinels)})"
    url = urlsplit(settings.url.get_secret_value())
    return url.path if url.scheme == "unix" else f"{url.hostname}:{url.port or 6379}"


def command(settings: RedisSettings, words: str) -> str:
    """A command of Redis as somebody would type it; a password is asked for."""
    url = urlsplit(settings.url.get_secret_value())
    place = ["-s", url.path] if url.scheme == "unix" else ["-h", str(url.hostname), "-p", str(url.port or 6379)]
    if settings.sentinels:
        place = ["-h", f"HOST-OF-{settings.primary}", "-p", "PORT"]
    secure = ["--tls"] if url.scheme == "rediss" else []
    for option, file in (
        ("--cacert", settings.tls_ca),
        ("--cert", settings.tls_certificate),
        ("--key", settings.tls_key),
    ):
        secure += [option, str(file)] if file else []
    user = [*(["--user", url.username] if url.username else []), *(["--askpass"] if url.password else [])]
    return f"{shlex.join(['redis-cli', *place, *secure, *user])} {words}"


def _link(settings: RedisSettings, clock: Clock) -> Link:
    waits = {name: max(LEAST_MS, getattr(settings, name)) for name in ("timeout_ms", "connect_timeout_ms")}
    return Link(settings.model_copy(update=waits), clock)


def _timed(link: Link, clock: Clock) -> float:
    began = clock.monotonic()
    link.ping()
    return (clock.monotonic() - began) * 1e3


def _reached(settings: RedisSettings, took_ms: float) -> Finding:
    detail = f"{address(settings)} answers in {took_ms:.1f} ms"
    slow = took_ms > settings.timeout_ms
    more = f", but counts as away after timeout_ms = {settings.timeout_ms:g}" if slow else ""
    return Finding(
        "redis", not slow, detail + more, "raise dedup.timeout_ms in k2.toml, or move Redis nearer" if slow else ""
    )


def _refused(settings: RedisSettings, error: AwayError) -> Finding:
    if error.reason == "evicting":
        repair = command(settings, "CONFIG SET maxmemory-policy noeviction")
        return Finding("redis eviction", False, error.detail, repair)
    allowed = "its user may not ask INFO: version, memory and persistence are not looked at"
    return Finding("redis info", error.reason == "denied", allowed if error.reason == "denied" else str(error),
                   "" if error.reason == "denied" else "look at Redis's own log")  # fmt: skip


def _told(settings: RedisSettings, info: Mapping[str, Any]) -> Iterator[Finding]:
    version = str(info.get("redis_version", "?"))
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
    yield Finding("redis version", numbers >= LEAST_VERSION, version, "use Redis 6.2 or later")
    yield Finding("redis eviction", True, str(info.get("maxmemory_policy", "?")))
    yield _memory(settings, int(info.get("used_memory", 0)), int(info.get("maxmemory", 0)))
    if info.get("role") == "slave":
        detail = f"a replica of {info.get('master_host')}:{info.get('master_port')}, which takes no writes"
        yield Finding("redis role", False, detail, "set dedup.url in k2.toml to the primary")
    saved = info.get("rdb_last_bgsave_status", "ok") == "ok" and info.get("aof_last_write_status", "ok") == "ok"
    kind = "append-only file" if info.get("aof_enabled") else "none, or dumps"
    detail = f"{kind}; after a restart without it windows are built from the tables"
    failed = "the last save failed: Redis may refuse all writes"
    repair = command(settings, "BGSAVE") + ", once its folder is writable and its disk has room"
    yield Finding("redis persistence", saved, detail if saved else failed, "" if saved else repair)


def _memory(settings: RedisSettings, used: int, limit: int) -> Finding:
    if not limit:
        return Finding("redis memory", True, f"{used / 2**20:.1f} MiB used, no limit")
    full = used > FULL_SHARE * limit
    detail = f"{used / 2**20:.1f} of {limit / 2**20:.1f} MiB used"
    return Finding(
        "redis memory", not full, detail, command(settings, f"CONFIG SET maxmemory {2 * limit}") if full else ""
    )


def _skew(link: Link, clock: Clock) -> Finding:
    before = clock.now_us()
    there = link.time_us()
    skew_s = max(0.0, (abs(there - before) - (clock.now_us() - before)) / 1e6)
    # Nothing is decided by Redis's clock; one that is wrong says that its machine's is, or this one's.
    return Finding(
        "redis clock", skew_s < SKEW_S, f"{skew_s:.1f} s from ours", "timedatectl set-ntp true, there and here"
    )
