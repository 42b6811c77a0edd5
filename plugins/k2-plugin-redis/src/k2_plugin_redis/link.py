"""`Link`: the one connection of a store, its scripts, and the breaker that leaves a Redis alone that does not answer.

Faults survived: killed, frozen, slow, full, loading its dump, read-only after a failover, moved elsewhere, scripts
flushed, password or certificate wrong: every one ends, within the timeouts, as `AwayError` with a reason that a metric can
carry. After each but a refusal of one command the connection is dropped: the next one asks anew where Redis is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from redis import Redis
from redis import exceptions as said
from redis.commands.core import Script

from k2_plugin_redis import scripts
from k2_plugin_redis.servers import connect, explained, trust
from k2_plugin_redis.settings import RedisSettings
from k2core.plugin import Clock

CLUSTER = (said.MovedError, said.AskError, said.ClusterDownError, said.ClusterCrossSlotError)


class AwayError(Exception):
    """Redis cannot be relied on now.

    Args:
        reason: `away`, `slow`, `full`, `denied`, `refused`, `evicting`, `lost`, `taken`, `changed`.
        detail: What Redis or the network said.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class ClusterError(AwayError):
    """It is a Redis Cluster: will never do."""

    def __init__(self) -> None:
        super().__init__("refused", "a Redis Cluster, which k2 does not use: name a primary, or Sentinels, in [dedup]")


class Breaker:
    """When to try again: after `retry_s`, then twice as long each time, up to `retry_longest_s`."""

    def __init__(self, settings: RedisSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._failures, self._until = 0, float("-inf")

    @property
    def closed(self) -> bool:
        """Whether a try is due."""
        return self._clock.monotonic() >= self._until

    def failed(self) -> None:
        """Leave it alone for a while."""
        pause = self._settings.retry_s * 2.0 ** min(self._failures, 30)
        self._failures += 1
        self._until = self._clock.monotonic() + min(pause, self._settings.retry_longest_s)

    def worked(self) -> None:
        """All is well."""
        self._failures, self._until = 0, float("-inf")


class Link:
    """Calls Redis. One connection, made when first needed; no retries of its own: the breaker decides.

    Args:
        settings: Address and timeouts.
        clock: For the breaker.
    """

    def __init__(self, settings: RedisSettings, clock: Clock) -> None:
        self.breaker = Breaker(settings, clock)
        self._settings = settings
        self._client: Redis | None = None
        self._scripts: dict[str, Script] = {}

    def run(self, script: str, keys: Sequence[str], args: Sequence[str | bytes | int]) -> list[bytes]:
        """Run a script by its digest; it is loaded where Redis does not know it.

        Raises:
            AwayError: Redis cannot be relied on; whether the script ran is not known.
        """
        found = self._call(lambda _: self._scripts[script](keys=list(keys), args=list(args)))
        status, *answers = cast("list[bytes]", found)
        if status != b"ok":
            self.close()  # it may be a primary of before, which only reads what the new one has
            raise AwayError(status.decode(), MEANING[status.decode()])
        return answers

    def fields(self, key: str) -> dict[bytes, bytes]:
        """A whole hash; empty where there is none."""
        return cast("dict[bytes, bytes]", self._call(lambda redis: redis.hgetall(key)))

    def ping(self) -> None:
        """Make sure that it answers.

        Raises:
            AwayError: It does not.
        """
        self._call(lambda redis: redis.ping())

    def info(self) -> dict[str, Any]:
        """All that it tells of itself."""
        return cast("dict[str, Any]", self._call(lambda redis: redis.info()))

    def time_us(self) -> int:
        """Its clock, Unix µs."""
        seconds, micros = self._call(lambda redis: redis.time())
        return int(seconds) * 1_000_000 + int(micros)

    def check_policy(self) -> None:
        """Make sure that Redis is no cluster, and does not drop keys of its own accord.

        Raises:
            AwayError: It is, or would.
        """
        try:
            info = self.info()
        except AwayError as error:
            if error.reason == "denied":  # then keys that vanish are noticed when they are asked for
                return
            raise
        if info.get("cluster_enabled"):
            raise ClusterError
        policy = str(info.get("maxmemory_policy", ""))
        if info.get("maxmemory") and policy.startswith("allkeys-"):
            raise AwayError("evicting", f"maxmemory-policy {policy} drops identities: set it to noeviction")

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _call(self, command: Callable[[Redis], Any]) -> Any:
        if not self.breaker.closed:
            raise AwayError("away", "not tried again yet")
        try:
            found = command(self._connected())
        except (said.RedisError, OSError) as error:
            reason = _reason(error)
            if reason not in ("full", "denied"):  # those still answer
                self.breaker.failed()
                self.close()
            if isinstance(error, CLUSTER):
                raise ClusterError from error
            raise AwayError(reason, explained(self._settings, error)) from error
        self.breaker.worked()
        return found

    def _connected(self) -> Redis:
        if self._client is None:
            self._client = connect(self._settings)
            named = {"ask": scripts.ASK, "write": scripts.WRITE, "take": scripts.TAKE}
            self._scripts = {name: self._client.register_script(text) for name, text in named.items()}
        return self._client


MEANING = {
    "lost": "what this writer settled is not there any more (flushed, evicted, or an older dump)",
    "taken": "another writer took the partition over; if none runs, Redis went back to an older state (a failover, a dump), "
    "or two installations share one [dedup] prefix",
    "changed": "the partition changed hands in between",
}


def _reason(error: Exception) -> str:
    if isinstance(error, said.TimeoutError):
        return "slow"
    if isinstance(error, said.OutOfMemoryError) or str(error).startswith("OOM "):
        return "full"
    if isinstance(error, said.NoPermissionError):
        return "denied"
    if isinstance(error, said.AuthenticationError) or trust(error):
        return "refused"
    return "away" if isinstance(error, said.ConnectionError | OSError) else "refused"
