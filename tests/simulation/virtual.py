"""Virtual time: an event loop that runs only when the scheduler turns it, a clock that may be off, waits that pass.

Nothing here looks at the machine's clock, so the same seed gives the same order of everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from k2core.clock import Clock
from k2core.query.bell import Bell


class Killed(BaseException):
    """`kill -9`: no code that is judged may catch it."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs what is ready, one turn at a time; timers fall due when the world's clock has moved."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._virtual, self._selector = clock, self

    def time(self) -> float:
        return self._virtual.monotonic()

    def select(self, timeout: float | None) -> tuple[()]:
        return ()

    def _process_events(self, events: Any) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""

    def turn(self, times: int = 1) -> None:
        """Let everything that is ready run, so many times."""
        for _ in range(times):
            self.call_soon(self.stop)
            self.run_forever()

    def end(self) -> None:
        """Cancel what is left, and close."""
        for _ in range(50):
            left = asyncio.all_tasks(self)
            if not left:
                break
            for task in left:
                task.cancel()
            self.turn(3)
        self.turn()
        self.run_until_complete(self.shutdown_asyncgens())
        self.close()


class Inline(Executor):
    """A worker thread that is the scheduler itself."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - a kill too must reach whoever waits
            future.set_exception(error)
        return future


class SkewedClock(Clock):
    """A machine whose wall clock is off."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self.off_s = clock, 0

    def now_ns(self) -> int:
        return self._clock.now_ns() + self.off_s * 1_000_000_000

    def monotonic(self) -> float:
        return self._clock.monotonic()


class VirtualBell(Bell):
    """Waiting lets other things happen and virtual time pass."""

    def __init__(self, clock: Clock, pass_time: Callable[[float], None]) -> None:
        self._clock, self._pass_time = clock, pass_time

    def ring(self) -> None:
        """Who waits looks again by himself."""

    def wait(self, reached: Callable[[], bool], timeout: float) -> bool:
        """Wait until a condition holds, or virtual time is up."""
        until = self._clock.monotonic() + timeout
        while not reached():
            left = until - self._clock.monotonic()
            if left <= 0:
                return reached()
            self._pass_time(min(left, 0.02))
        return True
