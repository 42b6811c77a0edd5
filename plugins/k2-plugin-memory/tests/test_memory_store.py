"""`MemoryStore` call by call: what is new, what is in flight, what a mark is for."""

from __future__ import annotations

import importlib.util
import pathlib
import subprocess
import sys

import pytest
from k2_plugin_memory.settings import MemorySettings
from k2_plugin_memory.store import MemoryStore

HERE = pathlib.Path(__file__).parent
spec = importlib.util.spec_from_file_location("memory_model", HERE / "memory_model.py")
assert spec is not None
assert spec.loader is not None
model = sys.modules.setdefault("memory_model", importlib.util.module_from_spec(spec))
spec.loader.exec_module(model)
BTC, ETH, PLACE, SECOND, Table, batch = model.BTC, model.ETH, model.PLACE, model.SECOND, model.Table, model.batch

MINUTE = 60 * SECOND
KINDS = ["contiguous", "increasing", "opaque"]


def store(table: Table, offset: int = 0, *, now_us: int = 0, **settings: float) -> MemoryStore:
    made = MemoryStore(MemorySettings(**settings), model.Now(now_us))
    made.assign(PLACE, offset, table)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_streams_have_their_own_ids(kind: str) -> None:
    memory = store(Table())
    both = batch([1, 1, 2, 2, 1], kind=kind, streams=(BTC, ETH), stream=[0, 1, 0, 1, 1])
    assert memory.claim(both).tolist() == [True, True, True, True, False]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_abandoned_never_happened(kind: str) -> None:
    memory = store(Table())
    memory.claim(batch([1, 2], kind=kind))
    memory.claim(batch([3, 4], 2, kind=kind))
    memory.abandon(PLACE, 1)
    assert memory.claim(batch([1, 2, 3, 4], 1, kind=kind)).tolist() == [False, True, True, True]


def test_what_left_the_window_is_asked_of_the_table() -> None:
    table = Table()
    memory = store(table, window_minutes=1)
    memory.claim(batch([1, 2, 4]))
    table.stored.append(batch([1, 2, 4]))
    memory.settle(PLACE, 0, 3)
    memory.evict(3 * MINUTE)
    assert memory.claim(batch([5, 6], 3, at_us=3 * MINUTE)).all()
    assert table.asked == 0
    assert memory.claim(batch([2, 3, 7], 5, at_us=3 * MINUTE)).tolist() == [False, True, True]
    assert table.asked == 2


def test_a_start_loads_the_window_and_marks_the_rest() -> None:
    old, young = batch([1, 3], at_us=0), batch([4, 6], 2, at_us=5 * MINUTE)
    table = Table(old, young)
    memory = store(table, 4, now_us=5 * MINUTE, window_minutes=1)
    assert memory.claim(batch([4, 5, 7], 4)).tolist() == [False, True, True]
    assert table.asked == 0
    assert memory.claim(batch([1, 2], 7)).tolist() == [False, True]
    assert table.asked == 2


def test_opaque_ids_are_looked_up_by_event_time_or_always() -> None:
    old = batch(["a", "b"], kind="opaque", order_ms=[10, 20])
    table = Table(old)
    memory = store(table, 2, now_us=9 * MINUTE, window_minutes=1)
    later = batch(["c", "a", "d"], 2, kind="opaque", order_ms=[30, 10, 20])
    assert memory.claim(later).tolist() == [True, False, True]
    assert table.asked == 2
    received = batch(["e", "b"], 5, kind="opaque", order_ms=[99, 99], event_time="received")
    assert memory.claim(received).tolist() == [True, False]
    assert table.asked == 4


def test_a_hole_read_again_is_not_its_own_duplicate() -> None:
    table = Table(batch([1, 2, 3]))
    memory = store(table, 0, now_us=9 * MINUTE, window_minutes=1)
    assert memory.claim(batch([1, 2, 3])).all()


def test_memory_is_bounded_and_nothing_is_lost_by_that() -> None:
    table = Table()
    memory = store(table, max_ids=100)
    offset = 0
    for k in range(20):
        ids = batch(list(range(k * 100, k * 100 + 100, 2)), offset, kind="increasing", at_us=k * 10 * MINUTE)
        assert memory.claim(ids).all()
        table.stored.append(ids)
        memory.settle(PLACE, offset, offset + 50)
        offset += 50
        memory.evict(0)
        assert memory.entries <= 100
    assert not memory.claim(batch(list(range(0, 2000, 2)), offset, kind="increasing")).any()


def test_contiguous_ids_take_less_than_a_byte() -> None:
    memory = store(Table())
    for k in range(20):
        memory.claim(batch(list(range(k * 1000, k * 1000 + 1000)), k * 1000))
        memory.settle(PLACE, k * 1000, k * 1000 + 1000)
    assert memory.entries * 16 < 20_000


def test_the_entry_module_is_light() -> None:
    heavy = "import sys, k2_plugin_memory; print([m for m in ('numpy', 'pyarrow') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
