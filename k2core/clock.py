"""The clock: the only place that asks the machine for the time, so that tests and the simulation can replace it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod


class Clock(ABC):
    """Wall time and monotonic time."""

    @abstractmethod
    def now_ns(self) -> int:
        """Unix time in nanoseconds."""

    @abstractmethod
    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back. For durations and timeouts."""

    def now_us(self) -> int:
        """Unix time in microseconds."""
        return self.now_ns() // 1_000

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return self.now_ns() // 1_000_000


class SystemClock(Clock):
    """The machine's own clock."""

    def now_ns(self) -> int:
        """Unix time in nanoseconds."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds of the machine's monotonic clock."""
        return time.monotonic()
