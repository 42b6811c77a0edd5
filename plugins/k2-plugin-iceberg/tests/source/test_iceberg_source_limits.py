"""What must not be possible: a query without end, a pool used up, text that becomes SQL, reading beyond the warehouse."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest
from k2_plugin_iceberg import scan as scanning
from k2_plugin_iceberg.pool import CursorPool

from k2core.plugin import QueryError, Selection
from k2core.records.builtin import TRADES

ENDLESS = "SELECT count(*) FROM range(100000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 1"


@pytest.fixture
def pool(world: Any) -> Any:
    made = CursorPool(world.settings.model_copy(update={"cursors": 2, "duckdb_memory": "64MB"}))
    yield made
    made.close()


def test_a_heavy_query_is_stopped_and_its_cursor_is_good_again(pool: CursorPool) -> None:
    for timeout in (0.05, 0.001, 0.05):
        with pytest.raises(QueryError, match="was stopped") as caught:
            pool.query(ENDLESS, timeout=timeout)
        assert (caught.value.kind, caught.value.status) == ("timeout", 503)
        assert pool.query("SELECT $1 AS n", [7], timeout=5)["n"].to_pylist() == [7]


def test_cursors_that_are_all_busy_are_waited_for_a_bounded_time(pool: CursorPool) -> None:
    started = threading.Barrier(3)

    def busy() -> None:
        started.wait()
        with pytest.raises(QueryError, match="was stopped"):
            pool.query(ENDLESS, timeout=0.4)

    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(busy) for _ in range(2)]
        started.wait()
        while pool._free.qsize():
            threading.Event().wait(0.001)
        with pytest.raises(QueryError, match="cursors were busy") as caught:
            pool.query("SELECT 1", timeout=0.05)
        assert (caught.value.kind, caught.value.status) == ("overloaded", 503)
        for one in running:
            one.result()
    assert pool.query("SELECT 1 AS n", timeout=5).num_rows == 1


def test_too_much_memory_is_a_typed_error(pool: CursorPool) -> None:
    with pytest.raises(QueryError, match="memory") as caught:
        pool.query("SELECT list(range) AS l FROM range(100000000)", timeout=20)
    assert caught.value.kind == "too-large"


def test_closing_interrupts_what_runs(world: Any) -> None:
    pool = CursorPool(world.settings)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(pool.query, ENDLESS, timeout=60)
        while pool._free.qsize() == world.settings.cursors:
            threading.Event().wait(0.001)
        threading.Event().wait(0.05)
        pool.close()
        with pytest.raises(QueryError, match="was stopped"):
            running.result(timeout=120)
        with pytest.raises(QueryError, match="is stopping"):
            pool.query("SELECT 1", timeout=1)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/k2-outside.parquet'",
        "INSTALL iceberg",
        "SET enable_external_access = true",
        "ATTACH '/tmp/k2-outside.db'",
        "SELECT * FROM world",
    ],
)
def test_nothing_beyond_the_warehouse_is_in_reach(pool: CursorPool, sql: str, world: Any) -> None:
    with pytest.raises(duckdb.Error):
        pool.query(sql, timeout=5)


HOSTILE = ["'", "''; DROP TABLE x; --", '"', "x' OR '1'='1", "A" * 10_000, "$1", "a\0b", "\ud800", "%", "\\", ""]


@pytest.mark.parametrize("direct", [True, False])
def test_hostile_symbols_are_only_values(busy: Any, direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "DIRECT_ROWS", 1 << 40 if direct else -1)
    source = busy.source()
    snapshot = source.newest()
    for symbols in [*((h,) for h in HOSTILE), tuple(HOSTILE), tuple(f"S{i}'" for i in range(500))]:
        wanted = Selection(below=snapshot.offsets, symbols=symbols)
        assert source.scan(snapshot, wanted, timeout=60).rows.num_rows == 0
        both = Selection(below=snapshot.offsets, symbols=(*symbols, "X"), exchanges=("binance", "' OR true --"))
        assert set(source.scan(snapshot, both, timeout=60).rows["symbol"].to_pylist()) == {"X"}
    with pytest.raises(QueryError, match="no column"):
        source.scan(snapshot, Selection(below=snapshot.offsets, columns=("price; --",)), timeout=60)
    with pytest.raises(QueryError, match="no column"):
        source.ohlcv(snapshot, Selection(), 1000, price='price"', quantity="quantity", timeout=60)


def test_odd_names_in_files_are_found(world: Any) -> None:
    odd = 'it\'s "odd" $1'
    world.commit([world.row("market.crypto.trades.binance", odd, 4_102_366_400_000, 1) for _ in range(3)])
    world.commit(world.rows(5))
    source = world.source()
    snapshot = source.newest()
    found = source.ohlcv(
        snapshot,
        Selection(below=snapshot.offsets, symbols=(odd,)),
        1000,
        price="price",
        quantity="quantity",
        timeout=60,
    ).rows.to_pylist()
    assert [(b["symbol"], b["trades"]) for b in found] == [(odd, 3)]


def test_extreme_numbers_do_not_break_anything(busy: Any) -> None:
    source = busy.source()
    snapshot = source.newest()
    for bound in (-(10**30), 10**30, -(1 << 63), (1 << 63) - 1, 1 << 63):
        for changes in ({"start_ms": bound}, {"end_ms": bound}, {"as_of_us": bound}, {"after": (bound, "t", 0, 0)}):
            wanted: Any = {"below": snapshot.offsets, **changes}
            assert source.scan(snapshot, Selection(**wanted), timeout=60).rows.num_rows in (0, len(busy.brute()))


def test_many_threads_read_while_commits_come_in(world: Any) -> None:
    world.commit(world.rows(50))
    source, stop = world.source(), threading.Event()

    def read() -> int:
        reads = 0
        while not stop.is_set() or not reads:
            snapshot = source.newest()
            rows = source.scan(snapshot, Selection(below=snapshot.offsets), timeout=60).rows
            assert rows.num_rows == sum(snapshot.offsets.values())
            assert source.contains_snapshot(snapshot.id)
            reads += 1
        return reads

    with ThreadPoolExecutor(8) as threads:
        running = [threads.submit(read) for _ in range(8)]
        for _ in range(6):
            world.commit(world.rows(20))
        stop.set()
        assert all(r.result() for r in running)


def test_where_the_table_lies_is_told(world: Any) -> None:
    world.commit(world.rows(5))
    world.source()
    told = world.sources[-1].location(TRADES)
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog(told["catalog"], uri=told["uri"], warehouse=told["warehouse"])
    assert catalog.load_table(told["table"]).scan().count() == 5
    assert Path(told["path"], "metadata").is_dir()
    catalog.close()
