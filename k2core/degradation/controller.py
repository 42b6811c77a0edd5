"""`Controller`: the state machine of degradation: lag, memory and time in, a level and a permit out.

It has no clock and does no I/O, so that it can be tested as a function and run in simulated time. Each level is held by
two latches, one by lag and one by memory; the level is the highest that is held. A latch closes at its trigger (by lag
only while the lag is not falling, see `Trend`) and opens after some time below a share of it, so every level ends by
itself once its cause has: CIRCUIT_BREAK too, for by lag it drains half-open, and by memory it lets a small batch
through after each pause.
"""

from __future__ import annotations

from dataclasses import dataclass

from k2core.degradation.levels import Change, Level, Permit
from k2core.degradation.settings import DegradationSettings
from k2core.degradation.trend import Trend

LEVELS = tuple(Level)[1:]
BACKPRESSURE = 0.25
"""Share of the records that may wait for a commit while memory is short."""


@dataclass(slots=True)
class _Latch:
    """One reason for one level."""

    trigger: float
    release: float
    held: bool = False
    below_since: float | None = None

    def note(self, now: float, value: float, down_s: float) -> None:
        """Open it once the value was below for long enough."""
        if value >= self.release:
            self.below_since = None
            return
        if self.below_since is None:
            self.below_since = now
        if now - self.below_since >= down_s:
            self.held = False


class Controller:
    """One table's degradation.

    Args:
        settings: Triggers and times.
    """

    def __init__(self, settings: DegradationSettings) -> None:
        self._settings = settings
        self._lag = [_Latch(t, t * settings.release_lag) for t in settings.triggers("lag")]
        self._memory = [_Latch(t, t * settings.release_memory) for t in settings.triggers("memory")]
        self._trend = Trend(settings.trend_s)
        self._broken_at = self._let_at = float("-inf")
        self.level = Level.NORMAL
        self.cause = "lag"
        self.lag, self.memory = 0, 0.0

    def observe(self, now: float, lag: int, memory: float) -> Change | None:
        """Take in what is seen.

        Args:
            now: Seconds, rising.
            lag: Records in the log beyond what was read.
            memory: Share of the memory limit that is used, 0 to 1 (or more).

        Returns:
            The change that it made, None where the level stays.
        """
        down_s, self.lag, self.memory = self._settings.down_s, lag, memory
        self._trend.note(now, lag, [latch.trigger for latch in self._lag])
        for latch in self._lag:
            latch.note(now, lag, down_s)
            latch.held = latch.held or self._trend.overload(now, latch.trigger)
        for latch in self._memory:
            latch.note(now, memory, down_s)
            latch.held = latch.held or memory >= latch.trigger
        return self._settle(now, lag, memory)

    def stalled(self) -> None:
        """Reading stops for another reason than load: a lag that grows meanwhile says nothing."""
        self._trend.forget()

    def permit(self, now: float) -> Permit:
        """What may be done now; a permit to read while memory is short is given once a pause."""
        level, by_memory = self.level, self._highest(self._memory)
        hold = BACKPRESSURE if by_memory else 1.0
        if level < Level.CIRCUIT_BREAK:
            return Permit(level=level, enrich=level < Level.SOFT, hold=hold)
        poll = now - self._broken_at >= self._settings.pause_s
        if by_memory == Level.CIRCUIT_BREAK:
            poll = poll and now - self._let_at >= self._settings.pause_s
        if poll:
            self._let_at = now
        return Permit(poll=poll, records=self._settings.half_open_records, level=level, enrich=False, hold=hold)

    def _settle(self, now: float, lag: int, memory: float) -> Change | None:
        by_memory, previous, why = self._highest(self._memory), self.level, self.cause
        level = max(by_memory, self._highest(self._lag))
        if level:
            self.cause = "memory" if by_memory == level else "lag"
        if level == previous:
            return None
        if level == Level.CIRCUIT_BREAK:
            self._broken_at, self._let_at = now, now
        self.level = level
        return Change(
            level=level, previous=previous, cause=self.cause if level > previous else why, lag=lag, memory=memory
        )

    @staticmethod
    def _highest(latches: list[_Latch]) -> Level:
        return max((level for level, latch in zip(LEVELS, latches, strict=True) if latch.held), default=Level.NORMAL)
