"""Which Redis is spoken to, and how: the address, or what Sentinels say it is now; TLS; user and password.

Faults survived: Sentinels away, frozen or ignorant of the primary (the next one is asked); a primary that moved (every
new connection asks anew). Nothing here tries again by itself: `Link` and its breaker do.
"""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis import exceptions as said
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from k2_plugin_redis.settings import RedisSettings


def connect(settings: RedisSettings) -> Redis:
    """A client of the server that is to be used now; its connection is made with the first command.

    Raises:
        RedisError: No Sentinel knows the primary.
    """
    url, options = settings.url.get_secret_value(), _waits(settings) | _secured(settings)
    if not settings.sentinels:
        return Redis.from_url(url, **options, protocol=2, max_connections=1)
    found: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    found.pop("connection_class", None)
    host, port = _primary(settings, settings.primary, options)
    return Redis(**found | {"host": host, "port": port}, **options, protocol=2, max_connections=1)


def _primary(settings: RedisSettings, name: str, options: dict[str, Any]) -> tuple[str, int]:
    """Where the primary is, as the first Sentinel says that answers and knows it."""
    password, why = settings.sentinel_password.get_secret_value() or None, []
    for place in settings.sentinels:
        host, _, port = place.rpartition(":")
        with Redis(host=host.strip("[]"), port=int(port), password=password, **options) as sentinel:
            try:
                found = sentinel.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", name)
            except (said.RedisError, OSError) as error:
                why.append(f"{place}: {trust(error) or error}")
                continue
        if found:
            return found[0].decode(), int(found[1])
        why.append(f"{place}: knows no primary of this name")
    raise said.ConnectionError(f"no Sentinel says where the primary {name!r} is ({'; '.join(why)})")


def trust(error: BaseException) -> str:
    """What was wrong with TLS, and what to do; empty where it was something else."""
    at: BaseException | None = error
    while at is not None and not isinstance(at, ssl.SSLError):
        at = at.__cause__ or at.__context__
    if at is None:
        return ""
    if isinstance(at, ssl.SSLCertVerificationError):
        why, mend = (
            at.verify_message,
            "dedup.tls_ca must name the authority that signed it, dedup.url a host that it is for",
        )
        return f"its certificate is not trusted ({why}): {mend}"
    why = at.reason or str(at)
    return f"TLS failed ({why}): is it a TLS port, and does it ask for dedup.tls_certificate and dedup.tls_key?"


def explained(settings: RedisSettings, error: Exception) -> str:
    """What an error of the client means, where its own words do not say it."""
    words, secured = str(error) or type(error).__name__, settings.url.get_secret_value().startswith("rediss:")
    if secured and words.startswith("Timeout connecting"):
        return f"{words} (is it a TLS port? else dedup.url begins with redis://)"
    return trust(error) or words


def _waits(settings: RedisSettings) -> dict[str, Any]:
    return {
        "socket_timeout": settings.timeout_ms / 1e3, "socket_connect_timeout": settings.connect_timeout_ms / 1e3,
        "retry": Retry(NoBackoff(), 0),
    }  # fmt: skip


def _secured(settings: RedisSettings) -> dict[str, Any]:
    if urlsplit(settings.url.get_secret_value()).scheme != "rediss":
        return {}
    files = {
        "ssl_ca_certs": settings.tls_ca, "ssl_certfile": settings.tls_certificate, "ssl_keyfile": settings.tls_key,
    }  # fmt: skip
    given = {name: str(path) for name, path in files.items() if path is not None}
    return given if not settings.sentinels else {"ssl": True, **given}
