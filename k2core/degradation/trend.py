"""`Trend`: whether a lag has been above its trigger, and not falling, for long enough to be believed.

A writer that catches up has a large lag that falls; one that cannot keep up has one that does not. Commits make a lag
saw-toothed, so single values say nothing: over a window, the means, the lows and the highs of its two halves are
compared. A lag falls where any of them falls; one that really rises, or stands, fails all three again and again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

SAMPLES = 512
"""Kept at most; more frequent ones are thinned out."""

SINCE_PEAK = 1 / 3
"""Of the window: after a peak so long ago the lag is judged from the peak on: a burst is no overload."""


class Trend:
    """Recent values of one lag.

    Args:
        window_s: Seconds over which it is judged.
    """

    def __init__(self, window_s: float) -> None:
        self._window = window_s
        self._samples: deque[tuple[float, int]] = deque()
        self._since: dict[float, float] = {}

    def note(self, now: float, lag: int, triggers: Sequence[float]) -> None:
        """One more value."""
        if self._samples and now - self._samples[-1][0] < self._window / SAMPLES:
            return
        self._samples.append((now, lag))
        while self._samples[0][0] < now - self._window:
            self._samples.popleft()
        for trigger in triggers:
            if lag < trigger:
                self._since.pop(trigger, None)
            else:
                self._since.setdefault(trigger, now)

    def forget(self) -> None:
        """What was seen says nothing about what comes: reading stopped for another reason than load."""
        self._samples.clear()
        self._since.clear()

    def overload(self, now: float, trigger: float) -> bool:
        """Whether the lag was at or above a trigger for the whole window, and is not falling."""
        since = self._since.get(trigger)
        return since is not None and now - since >= self._window and not self.falling()

    def falling(self) -> bool:
        """Whether the second half of the window lies below the first, or that of what came since its peak does."""
        samples = list(self._samples)
        if len(samples) < 2:
            return False
        early, late = _halves(samples)
        if _mean(late) < _mean(early) or min(late) < min(early) or max(late) < max(early):
            return True
        peak = max(range(len(samples)), key=lambda at: samples[at][1])
        if samples[-1][0] - samples[peak][0] < self._window * SINCE_PEAK:
            return False
        early, late = _halves(samples[peak:])
        return _mean(late) < _mean(early)


def _halves(samples: Sequence[tuple[float, int]]) -> tuple[list[int], list[int]]:
    middle = (samples[0][0] + samples[-1][0]) / 2
    return [lag for at, lag in samples if at <= middle], [lag for at, lag in samples if at > middle]


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values)
