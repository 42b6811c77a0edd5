"""`Gate`: how many queries run and wait at once; what is beyond is refused with a time to come again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from k2core.clock import Clock
from k2core.errors import QueryError


class Gate:
    """Admission control.

    Args:
        concurrent: Queries that run at once.
        waiting: Queries that may wait for their turn.
        clock: For durations.
    """

    def __init__(self, concurrent: int, waiting: int, clock: Clock) -> None:
        self._running = threading.BoundedSemaphore(concurrent)
        self._places = threading.BoundedSemaphore(concurrent + waiting)
        self._clock = clock

    @contextmanager
    def turn(self, timeout: float) -> Iterator[Deadline]:
        """Run one query; its time limit counts from here, waiting included.

        Raises:
            QueryError: `overloaded`: too many wait already, or the turn did not come in time.
        """
        deadline = Deadline(self._clock, timeout)
        if not self._places.acquire(blocking=False):
            raise _overloaded("as many queries wait as may")
        try:
            if not self._running.acquire(timeout=timeout):
                raise _overloaded(f"no turn came within {timeout:g} s")
            try:
                yield deadline
            finally:
                self._running.release()
        finally:
            self._places.release()


class Deadline:
    """A moment by which a query has to be done."""

    def __init__(self, clock: Clock, timeout: float) -> None:
        self._clock, self._at, self._timeout = clock, clock.monotonic() + timeout, timeout

    def left(self) -> float:
        """Seconds left.

        Raises:
            QueryError: `timeout`: none are.
        """
        left = self._at - self._clock.monotonic()
        if left <= 0:
            raise QueryError(
                f"the query took longer than {self._timeout:g} s and was stopped: narrow its time range or its symbols,"
                " or raise [query] timeout_s",
                kind="timeout",
                status=503,
                retry_after=1,
            )
        return left


def _overloaded(why: str) -> QueryError:
    return QueryError(f"too many queries at once: {why}; try again", kind="overloaded", status=503, retry_after=1)
