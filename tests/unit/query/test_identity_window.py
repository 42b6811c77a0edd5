"""The window against a dictionary, and what it does with ids that it had to forget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k2core.interfaces.identities import IdentityBatch, Stream
from k2core.query.held import NEVER, RECENT, Held
from k2core.query.window import Window

PLACE = ("market.crypto.trades.x", 3)
STREAM = Stream("x", "BTCUSDT")


def batch(ids, first, *, kind="contiguous", at_us=0, event_time="exchange", ms=None):
    n = len(ids)
    numbers = all(isinstance(i, int) for i in ids)
    return IdentityBatch(
        data_type="trades", partition=PLACE, kind=kind, streams=(STREAM,), stream=np.zeros(n, np.int32),
        ids=np.array(ids, np.int64 if numbers else object), event_time=event_time,
        order_ms=np.array(ms if ms is not None else [0] * n, np.int64),
        offsets=np.arange(first, first + n, dtype=np.int64), timestamps_us=np.full(n, at_us, np.int64),
    )  # fmt: skip


class Table:
    """What a look-up finds, and what was looked up."""

    def __init__(self, *stored):
        self.stored, self.asked = set(stored), []

    def __call__(self, identities):
        self.asked += list(identities.ids)
        return np.array([i in self.stored for i in identities.ids], bool)


ids = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=12), max_size=12)


@given(ids, st.booleans())
@settings(max_examples=60, deadline=None)
def test_first_copies_are_those_of_a_dictionary(batches, texts):
    window, seen, offset = Window(1000), set(), 0
    for numbers in batches:
        named = [f"t{n}" if texts and n % 3 else str(n) for n in numbers] if texts else numbers
        got = window.first_copies(batch(named, offset), Table())
        want = []
        for name in named:
            want.append(str(name) not in seen)
            seen.add(str(name))
        assert got.tolist() == want
        assert window.first_copies(batch(named, offset), Table(), learn=False).tolist() == want, "reading again differs"
        offset += len(named)
    assert len(window) == len(seen)


def test_numbers_and_the_same_numbers_as_texts_are_one_identity():
    window = Window(1000)
    window.first_copies(batch([7, 8], 0), Table())
    assert window.first_copies(batch(["7", "07", "x"], 2), Table()).tolist() == [False, True, True]


def test_a_copy_at_a_lower_position_is_not_its_own_duplicate():
    window = Window(1000)
    window.first_copies(batch([5], 100), Table())
    assert window.first_copies(batch([5], 100), Table(), learn=False).tolist() == [True]
    assert window.first_copies(batch([5], 101), Table(), learn=False).tolist() == [False]


def test_what_was_forgotten_is_looked_up_and_what_lies_above_is_not():
    window, table = Window(1000), Table(3)
    window.first_copies(batch([1, 2, 3, 5], 0, at_us=10), table)
    window.forget(5000, {PLACE: 2})
    assert len(window) == 4, "only what a snapshot holds may be forgotten"
    window.forget(5000, {PLACE: 4})
    assert len(window) == 0
    assert window.first_copies(batch([3, 4, 6], 4, at_us=5000), table).tolist() == [False, True, True]
    assert table.asked == [3, 4]


def test_opaque_ids_go_by_event_time_and_by_the_table_where_there_is_none():
    window, table = Window(1000), Table("a")
    window.first_copies(batch(["a"], 0, kind="opaque", ms=[50]), table)
    window.forget(5000, {PLACE: 1})
    judged = window.first_copies(batch(["a", "b"], 1, kind="opaque", ms=[50, 51]), table)
    assert (judged.tolist(), table.asked) == ([False, True], ["a"])
    window.first_copies(batch(["c"], 3, kind="opaque", ms=[99], event_time="received"), table)
    assert table.asked == ["a", "c"]


@pytest.mark.parametrize("dtype", ["int64", "S16"])
def test_held_ids_are_found_in_whatever_run_they_lie(dtype):
    held = Held(dtype, 1 << 40)
    g = np.random.default_rng(1)
    numbers = g.permutation(5000)
    keys = numbers.astype(np.int64) if dtype == "int64" else np.array([b"%016d" % n for n in numbers], "S16")
    at = 0
    while at < len(keys):
        n = int(g.choice([1, 7, 100, RECENT + 5]))
        part = slice(at, min(at + n, len(keys)))
        size = part.stop - at
        held.add(keys[part], np.arange(at, part.stop), np.full(size, at), at)
        at = part.stop
    assert len(held) == 5000
    assert (held.first(keys) == np.arange(5000)).all()
    other = np.array([-1, 9999], np.int64) if dtype == "int64" else np.array([b"x", b"y"], "S16")
    assert (held.first(other) == NEVER).all()


def test_held_ids_cost_little_memory():
    held = Held("int64", 1 << 40)
    for at in range(0, 200_000, 100):
        held.add(np.arange(at, at + 100), np.arange(at, at + 100), np.full(100, at), at)
    arrays = sum(r.keys.nbytes + r.offsets.nbytes for r in held._runs)
    assert arrays <= 16 * 200_000
    assert len(held._runs) < 40
