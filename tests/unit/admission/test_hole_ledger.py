"""Holes in contiguous ids, against a set of everything that was seen."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from k2core.admission.holes import Hole, HoleLedger
from k2core.interfaces.identities import IdentityBatch, Stream

BTC, ETH = Stream("binance", "BTCUSDT"), Stream("binance", "ETHUSDT")


def batch(ids: list[int], streams: tuple[Stream, ...] = (BTC,), stream: list[int] | None = None) -> IdentityBatch:
    n = len(ids)
    zeros = np.zeros(n, np.int64)
    return IdentityBatch(
        data_type="trades", partition=("t", 0), kind="contiguous", streams=streams, event_time="exchange",
        stream=np.array(stream or [0] * n, np.int32), ids=np.array(ids, np.int64), order_ms=zeros, offsets=zeros,
        timestamps_us=zeros,
    )  # fmt: skip


def test_a_jump_opens_a_hole_and_late_ids_close_it() -> None:
    ledger = HoleLedger()
    ledger.note(batch([5, 6, 7, 10, 11, 20]))
    assert ledger.missing() == [Hole("binance", "BTCUSDT", 8, 9), Hole("binance", "BTCUSDT", 12, 19)]
    ledger.note(batch([15, 8]))
    assert ledger.totals() == {"binance": 8}
    assert ledger.fresh() == [
        Hole("binance", "BTCUSDT", 9, 9), Hole("binance", "BTCUSDT", 12, 14), Hole("binance", "BTCUSDT", 16, 19),
    ]  # fmt: skip
    assert ledger.fresh() == []
    ledger.note(batch([9, 12, 13, 14, 16, 17, 18, 19, 19, 3]))
    assert ledger.missing() == []
    assert ledger.totals() == {"binance": 0}


def test_streams_are_apart_and_a_start_can_be_given() -> None:
    ledger = HoleLedger()
    ledger.start_at(BTC, 2)
    ledger.note(batch([1, 5, 2, 6], (BTC, ETH), [0, 0, 1, 1]))
    assert ledger.missing() == [Hole("binance", "BTCUSDT", 3, 4), Hole("binance", "ETHUSDT", 3, 5)]


def test_memory_is_bounded_and_the_count_stays() -> None:
    ledger = HoleLedger(max_holes=3)
    ledger.note(batch(list(range(0, 100, 2))))
    assert len(ledger.missing()) == 3
    assert ledger.totals() == {"binance": 49}


@given(st.lists(st.lists(st.integers(50, 120), min_size=1, max_size=12), min_size=1, max_size=12))
def test_against_a_set(batches: list[list[int]]) -> None:
    ledger, seen = HoleLedger(), set()
    ledger.start_at(BTC, 49)
    for ids in batches:
        ledger.note(batch(ids))
        seen.update(ids)
        missing = {i for hole in ledger.missing() for i in range(hole.first, hole.last + 1)}
        assert missing == set(range(50, max(seen))) - seen
        assert ledger.totals() == {"binance": len(missing)}
