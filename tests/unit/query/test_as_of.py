"""`as_of`: a time is closed by the log's promise alone, never by its age."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from k2core.config.settings import QuerySettings
from k2core.errors import LogBusyError
from k2core.query.asof import settle
from k2core.query.gate import Deadline
from k2core.testing import ManualClock

HOUR_US = 3_600_000_000


def ask(closed_until: Any) -> bool:
    """`settle` for a time an hour ago, on a tail that has read everything."""
    clock = ManualClock()
    broker = SimpleNamespace(closed_until=closed_until, ends=lambda topics: {})
    tail: Any = SimpleNamespace(parts=SimpleNamespace(topics=["t"], broker=broker))
    tail.wait = lambda reached, timeout: clock.advance(max(timeout, 0)) or reached(SimpleNamespace(ends={}))
    deadline = Deadline(clock, 10)
    return settle(tail, clock.now_us() - HOUR_US, QuerySettings(wait_s=0.1), clock, deadline)


def busy(topics: Any) -> int:
    raise LogBusyError("a frozen producer holds the lock: it may still append at a time that it stamped long ago")


def test_an_old_time_is_not_closed_while_a_producer_may_still_append_at_it() -> None:
    assert ask(busy) is False
    assert ask(lambda topics: 0) is False


def test_an_old_time_is_closed_once_the_log_promises_it() -> None:
    assert ask(lambda topics: 1 << 62) is True
