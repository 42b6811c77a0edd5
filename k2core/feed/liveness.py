"""When a connection counts as dead: two timers and the answers that are due. Knows times only, no I/O."""

from __future__ import annotations

from k2core.feed.subscribing import Subscribing
from k2core.interfaces.connector import ConnectionLimits


class Liveness:
    """The timers of one connection, in seconds of the monotonic clock.

    Args:
        limits: How long each may last.
        subscribing: Whose answers are due.
        now: When the connection was opened.
    """

    def __init__(self, limits: ConnectionLimits, subscribing: Subscribing, now: float) -> None:
        self._limits, self._subscribing = limits, subscribing
        self.opened_at = self.frame_at = self.data_at = now
        self.had_data = False

    def restart(self, now: float) -> None:
        """Nothing was read for a while, by our own will: all timers begin anew."""
        self.frame_at = self.data_at = now
        self._subscribing.give_more_time(now)

    def overdue(self, now: float) -> str | None:
        """What failed, in words; None while all is well."""
        limits = self._limits
        if now - self.frame_at >= limits.frame_timeout:
            return f"no frame of any kind for {limits.frame_timeout:g} s"
        if limits.data_timeout is not None and now - self.data_at >= limits.data_timeout:
            return f"no data for {limits.data_timeout:g} s"
        if self._subscribing.overdue(now, limits.ack_timeout):
            return f"no subscription was acknowledged within {limits.ack_timeout:g} s"
        return None

    def next_look(self, now: float) -> float:
        """Seconds until something can be overdue."""
        limits = self._limits
        times = [self.frame_at + limits.frame_timeout]
        if limits.data_timeout is not None:
            times.append(self.data_at + limits.data_timeout)
        if not self._subscribing.done:  # one that is not written yet can be overdue after a whole ack_timeout
            due = self._subscribing.next_deadline(limits.ack_timeout)
            times.append(now + limits.ack_timeout if due is None else due)
        return max(0.001, min(times) - now)
