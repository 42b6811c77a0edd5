"""`Bell`: how threads wait for a tail to get further; a seam, so that a simulation can wait in virtual time."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Bell:
    """Rung whenever there is something new to look at. Any number of threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()

    def ring(self) -> None:
        """Have everybody who waits look again."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, reached: Callable[[], bool], timeout: float) -> bool:
        """Wait until a condition holds, asked at first and at each ring.

        Args:
            reached: The condition.
            timeout: Seconds to wait, at most.

        Returns:
            Whether it holds.
        """
        with self._changed:
            return self._changed.wait_for(reached, max(0.0, timeout))
