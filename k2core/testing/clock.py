"""`ManualClock`: time that stands still until a test moves it."""

from __future__ import annotations

from k2core.clock import Clock


class ManualClock(Clock):
    """A clock that only `advance` and `set` move.

    Args:
        now_ns: Unix time to start at, ns.
    """

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now_ns = now_ns
        self._monotonic = 0.0

    def now_ns(self) -> int:
        """Unix time in nanoseconds."""
        return self._now_ns

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass, on both scales.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError("time passes forwards; set() moves the wall clock back")
        self._monotonic += seconds
        self._now_ns += round(seconds * 1e9)

    def set(self, now_ns: int) -> None:
        """Set the wall clock, as an operator or NTP might: monotonic time does not notice."""
        self._now_ns = now_ns
