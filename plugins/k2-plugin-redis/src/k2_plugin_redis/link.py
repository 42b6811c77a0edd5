"""`Link`: the one connection of a store, its scripts, and the breaker that leaves a Redis alone that does not answer.

Faults survived: killed, frozen, slow, full, loading its dump, read-only after a failover, scripts flushed, password
wrong: every one ends, within the timeouts, as `AwayError` with a reason that a metric can carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from redis import Redis
from redis import exceptions as said
from redis.backoff import NoBackoff
from redis.retry import Retry

from k2_plugin_redis import scripts
from k2_plugin_redis.settings import RedisSettings
from k2core.plugin import Clock


class AwayError(Exception):
    """Redis cannot be relied on now.

    Args:
        reason: `away`, `slow`, `full`, `denied`, `refused`, `evicting`, `lost`, `taken`, `changed`.
        detail: What Redis or the network said.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


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
        self._redis = Redis.from_url(
            settings.url.get_secret_value(), socket_timeout=settings.timeout_ms / 1e3,
            socket_connect_timeout=settings.connect_timeout_ms / 1e3, retry=Retry(NoBackoff(), 0), protocol=2,
            max_connections=1,
        )  # fmt: skip
        self._scripts = {
            name: self._redis.register_script(text)
            for name, text in (("ask", scripts.ASK), ("write", scripts.WRITE), ("take", scripts.TAKE))
        }

    def run(self, script: str, keys: Sequence[str], args: Sequence[str | bytes | int]) -> list[bytes]:
        """Run a script by its digest; it is loaded where Redis does not know it.

        Raises:
            AwayError: Redis cannot be relied on; whether the script ran is not known.
        """
        found = self._call(lambda: self._scripts[script](keys=list(keys), args=list(args)))
        status, *answers = cast("list[bytes]", found)
        if status != b"ok":
            raise AwayError(status.decode(), MEANING[status.decode()])
        return answers

    def fields(self, key: str) -> dict[bytes, bytes]:
        """A whole hash; empty where there is none."""
        return cast("dict[bytes, bytes]", self._call(lambda: self._redis.hgetall(key)))

    def check_policy(self) -> None:
        """Make sure that Redis does not drop keys of its own accord.

        Raises:
            AwayError: It would.
        """
        try:
            memory = self._call(lambda: self._redis.info("memory"))
        except AwayError as error:
            if error.reason == "denied":  # then keys that vanish are noticed when they are asked for
                return
            raise
        policy = str(memory.get("maxmemory_policy", ""))
        if memory.get("maxmemory") and policy.startswith("allkeys-"):
            raise AwayError("evicting", f"maxmemory-policy {policy} drops identities: set it to noeviction")

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def _call(self, command: Any) -> Any:
        if not self.breaker.closed:
            raise AwayError("away", "not tried again yet")
        try:
            found = command()
        except (said.RedisError, OSError) as error:
            reason = _reason(error)
            if reason not in ("full", "denied"):  # those still answer
                self.breaker.failed()
            raise AwayError(reason, str(error) or type(error).__name__) from error
        self.breaker.worked()
        return found


MEANING = {
    "lost": "what this writer settled is not there any more (flushed, evicted, or an older dump)",
    "taken": "another writer took the partition over; if none runs, two installations share one [dedup] prefix",
    "changed": "the partition changed hands in between",
}


def _reason(error: Exception) -> str:
    if isinstance(error, said.TimeoutError):
        return "slow"
    if isinstance(error, said.OutOfMemoryError) or str(error).startswith("OOM "):
        return "full"
    if isinstance(error, said.NoPermissionError):
        return "denied"
    if isinstance(error, said.AuthenticationError):
        return "refused"
    return "away" if isinstance(error, said.ConnectionError | OSError) else "refused"
