"""What keeps us within an exchange's limits: back-off, connection budget, spacing of control messages, `Retry-After`."""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

from k2core.clock import Clock

LONGEST_HOLD_S = 3 * 86_400.0
"""The longest `Retry-After` that is believed: Binance's longest ban."""
MARGIN = 1.1
"""Control messages are spaced wider than the limit by this, because the network may push them together."""


class Headers(Protocol):
    """Any mapping of header names."""

    def get(self, key: str) -> str | None:
        """One header's value."""


def retry_after(headers: Headers, now: datetime | None = None) -> float | None:
    """Seconds that a `Retry-After` header asks for; None where there is none that can be read.

    Source: RFC 9110, section 10.2.3: seconds, or an HTTP date.
    """
    text = (headers.get("Retry-After") or headers.get("retry-after") or "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = (at.replace(tzinfo=at.tzinfo or UTC) - (now or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 0.0), LONGEST_HOLD_S) if math.isfinite(seconds) else None


class Backoff:
    """Exponential pauses with full jitter: the n-th is uniform in 0 … initial · 2ⁿ, at most `most`. Never gives up."""

    def __init__(self, initial: float, most: float, rng: random.Random) -> None:
        self._initial, self._most, self._rng = initial, most, rng
        self.attempts = 0

    def next(self) -> float:
        """Seconds to wait before the next attempt."""
        widest = min(self._most, self._initial * 2.0 ** min(self.attempts, 60))
        self.attempts += 1
        return self._rng.uniform(0, widest)

    def reset(self) -> None:
        """Begin again: a connection proved stable."""
        self.attempts = 0


class ConnectBudget:
    """Connection attempts of a whole feed: at most `most` in any `window` seconds, none while the exchange said wait."""

    def __init__(
        self, most: int, window: float, clock: Clock, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._most, self._window, self._clock, self._sleep = most, window, clock, sleep
        self._times: deque[float] = deque()
        self._held_until = -math.inf
        self._turn = asyncio.Lock()

    def hold(self, seconds: float) -> None:
        """No attempt for so long: `Retry-After`."""
        self._held_until = max(self._held_until, self._clock.monotonic() + seconds)

    async def acquire(self) -> None:
        """Wait for an attempt that the budget allows, and take it. First come, first served."""
        async with self._turn:
            while (wait := self._wait()) > 0:
                await self._sleep(wait)
            self._times.append(self._clock.monotonic())

    def _wait(self) -> float:
        now = self._clock.monotonic()
        while self._times and self._times[0] <= now - self._window:
            self._times.popleft()
        full = self._times[0] + self._window - now if len(self._times) >= self._most else 0.0
        return max(full, self._held_until - now)


class ControlPacer:
    """Writes control messages of one connection no faster than the limit; a pong goes before what waits.

    Args:
        per_second: The exchange's limit, pongs included.
        write: Sends a message now.
    """

    def __init__(self, per_second: float, write: Callable[[bytes], None]) -> None:
        self._space, self._write = MARGIN / per_second, write
        self._waiting: deque[tuple[Callable[[], bytes], Callable[[], None]]] = deque()
        self._pong: Callable[[], bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def send(self, message: Callable[[], bytes], sent: Callable[[], None]) -> None:
        """Queue a message; it is made when its turn comes, then `sent` is called."""
        self._waiting.append((message, sent))
        self._go()

    def pong(self, message: Callable[[], bytes]) -> None:
        """Queue a pong; one that still waits is replaced (RFC 6455, 5.5.3 allows to answer the newest ping only)."""
        self._pong = message
        self._go()

    def stop(self) -> None:
        """Drop what waits."""
        self._stopped = True
        self._waiting.clear()
        self._pong = None
        if self._timer:
            self._timer.cancel()

    def _go(self) -> None:
        if self._timer is None and not self._stopped:
            self._step()

    def _step(self) -> None:
        self._timer = None
        if self._stopped or not (self._pong or self._waiting):
            return
        self._timer = asyncio.get_running_loop().call_later(self._space, self._step)
        if self._pong:
            message, self._pong = self._pong, None
            self._write(message())
            return
        make, sent = self._waiting.popleft()
        self._write(make())
        sent()
