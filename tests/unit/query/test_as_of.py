"""`as_of`: a time is closed by the log's promise alone, never by its age."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from k2core.config.settings import QuerySettings
from k2core.errors import LogBusyError
from k2core.interfaces.query import Selection
from k2core.query.asof import settle
from k2core.query.gate import Deadline
from k2core.query.hot import select
from k2core.query.slices import Lane, Slice
from k2core.records.builtin import TRADES
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


@pytest.mark.parametrize(("as_of_us", "offsets"), [(1_000, []), (1_001, [0]), (1_002, [0, 1]), (1_003, [0, 1, 2])])
def test_hot_rows_up_to_the_very_microsecond(as_of_us: int, offsets: list[int]) -> None:
    place = ("market.crypto.trades.x", 1)
    row = {"symbol": "A", "exchange": "x", "price": 1.0, "quantity": 1.0, "exchange_date": 0, "id_epoch": 0}
    row |= {"topic": place[0], "log_partition": 1}
    taken = [row | {"exchange_timestamp_ms": n, "log_offset": n, "log_timestamp": 1_001 + n} for n in range(3)]
    (batch,) = pa.Table.from_pylist(taken, TRADES.table_schema).to_batches()
    lane = Lane(place, "x", "A", ()).with_slice(Slice.of(batch, TRADES.order), TRADES.order)
    found = select([lane], Selection(as_of_us=as_of_us), {}, {place: 3}, TRADES)
    assert sorted(found["log_offset"].to_pylist()) == offsets
