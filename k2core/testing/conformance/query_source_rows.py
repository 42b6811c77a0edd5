"""MUSTs of a query source's answers: which rows, in which order, how many; bars and symbols; time limits."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from k2core.errors import QueryError
from k2core.interfaces.query import Selection
from k2core.records.builtin import TRADES
from k2core.testing.conformance.facts import needs
from k2core.testing.conformance.query_source_world import PATIENCE_S, SourceFacts, key, shifted, wanted_rows
from k2core.testing.conformance.sink_world import NAMES, START_MS, SYMBOLS, Row, appended_us, rows_between

HOSTILE = ("'", "''; DROP TABLE x; --", '"', "x' OR '1'='1", "$1", "a\0b", "%", "\\", "", "A" * 5000)


class RowTests(SourceFacts):
    """One snapshot, every kind of selection."""

    def test_Q01_rows_come_back_field_for_field(self, tmp_path: Path) -> None:
        """In the columns and types of the data type's table."""
        with self.filled(tmp_path, 7, 4) as made:
            snapshot = made.table.newest()
            found = made.table.scan(snapshot, Selection(below=snapshot.offsets, descending=False), timeout=PATIENCE_S)
            assert found.rows.schema.equals(TRADES.table_schema)
            assert found.rows.to_pylist() == sorted(rows_between({}, made.hand.at), key=key)

    def test_Q02_answers_have_a_total_order_both_ways(self, tmp_path: Path) -> None:
        """By time, then topic, partition and offset: several rows of one time stand in their order too."""
        with self.filled(tmp_path, 5, 9) as made:
            rows = made.scan(descending=False)
            assert [key(r) for r in rows] == sorted(key(r) for r in rows)
            assert [key(r) for r in made.scan(descending=True)] == [key(r) for r in reversed(rows)]

    def test_Q03_a_limit_gives_the_first_rows_of_that_order(self, tmp_path: Path) -> None:
        """None, one, some, more than there are."""
        with self.filled(tmp_path, 6, 6) as made:
            for limit in (0, 1, 5, 20, 10_000):
                for descending in (True, False):
                    made.check(limit=limit, descending=descending)

    def test_Q04_a_page_begins_behind_the_last_key(self, tmp_path: Path) -> None:
        """Read page by page, every row comes once, in order."""
        with self.filled(tmp_path, 5, 4) as made:
            for descending in (True, False):
                pages: list[Row] = []
                while page := made.scan(limit=7, descending=descending, after=key(pages[-1]) if pages else None):
                    pages += page
                    assert len(pages) <= 500, "pages come without end"
                every = sorted(rows_between({}, made.hand.at), key=key, reverse=descending)
                assert [key(r) for r in pages] == [key(r) for r in every]

    def test_Q05_a_start_is_included_and_an_end_is_not(self, tmp_path: Path) -> None:
        """At, before and behind times that rows have."""
        with self.filled(tmp_path, 9, 9) as made:
            for ms in (START_MS, START_MS + 10_000, START_MS + 25_000):
                for near in (ms - 1, ms, ms + 1):
                    made.check(start_ms=near)
                    made.check(end_ms=near)
            made.check(start_ms=START_MS + 5000, end_ms=START_MS + 5001)
            made.check(start_ms=START_MS + 5000, end_ms=START_MS + 5000)

    def test_Q06_as_of_is_included(self, tmp_path: Path) -> None:
        """Rows appended at that very microsecond belong to it."""
        with self.filled(tmp_path, 5, 5) as made:
            for us in (appended_us(0), appended_us(4), appended_us(7)):
                for near in (us - 1, us, us + 1):
                    made.check(as_of_us=near)

    def test_Q07_symbols_and_exchanges_select(self, tmp_path: Path) -> None:
        """One, several, both at once, none at all; names of any characters."""
        with self.filled(tmp_path, 4, 4) as made:
            for symbols in ((NAMES[0],), NAMES[1:3], NAMES, ("nobody",), (), (NAMES[3], "nobody")):
                made.check(symbols=symbols)
            for exchanges in (("binance",), ("kraken", "binance"), ("kraken",), ("nobody",), ()):
                made.check(exchanges=exchanges)
                made.check(exchanges=exchanges, symbols=(NAMES[0], NAMES[2]))

    def test_Q08_text_is_only_ever_a_value(self, tmp_path: Path) -> None:
        """Whatever a symbol or exchange is said to be called, it selects rows of that name."""
        with self.filled(tmp_path, 3) as made:
            for text in HOSTILE:
                assert made.scan(symbols=(text,)) == []
                assert made.scan(exchanges=(text,)) == []
            made.check(symbols=(*HOSTILE, NAMES[4]))

    def test_Q09_only_rows_below_the_given_offsets_count(self, tmp_path: Path) -> None:
        """A partition that is not named counts as 0; beyond what is stored there is nothing more."""
        with self.filled(tmp_path, 5, 5) as made:
            at = made.table.newest().offsets
            for below in (at, shifted(at, -1), shifted(at, -5), shifted(at, 9), {}):
                made.check(below=below)
            one, other = sorted(at)[:2]
            made.check(below={one: 3, other: 10})

    def test_Q10_only_the_wanted_columns_come_and_the_key(self, tmp_path: Path) -> None:
        """A column that there is not is a typed error."""
        with self.filled(tmp_path, 3) as made:
            rows = made.scan(columns=("price", "symbol"), limit=4)
            assert {frozenset(r) for r in rows} == {
                frozenset({"price", "symbol", TRADES.order, "topic", "log_partition", "log_offset"})
            }
            with pytest.raises(QueryError):
                made.scan(columns=("price; --",))

    def test_Q11_selections_combine(self, tmp_path: Path) -> None:
        """Everything at once."""
        with self.filled(tmp_path, 9, 6) as made:
            at = made.table.newest().offsets
            middle = sorted(key(r) for r in rows_between({}, at))[20]
            for descending in (True, False):
                made.check(
                    symbols=NAMES[:3], exchanges=("binance",), start_ms=START_MS + 5000, end_ms=START_MS + 20_000,
                    as_of_us=appended_us(10), below=shifted(at, -2), after=middle, limit=4, descending=descending,
                )  # fmt: skip

    def test_Q12_partial_bars_add_up(self, tmp_path: Path) -> None:
        """Merged, they are the bars of all selected rows: first, last, extremes and sums."""
        with self.filled(tmp_path, 7, 6) as made:
            snapshot = made.table.newest()
            for wanted in ({}, {"symbols": (NAMES[1],), "start_ms": START_MS + 5000}, {"symbols": ("nobody",)}):
                for interval in (5000, 60_000, 86_400_000):
                    s = Selection(**{"below": snapshot.offsets, **wanted})  # type: ignore[arg-type]
                    parts = made.table.ohlcv(
                        snapshot, s, interval, price="price", quantity="quantity", timeout=PATIENCE_S
                    ).rows.to_pylist()
                    assert merged(parts) == bars(wanted_rows(rows_between({}, snapshot.offsets), s), interval)

    def test_Q13_symbols_are_counted_with_their_times(self, tmp_path: Path) -> None:
        """Each exchange's symbol once, of the selected rows."""
        with self.filled(tmp_path, 5, 4) as made:
            snapshot = made.table.newest()
            for wanted in ({}, {"exchanges": ("kraken",)}, {"end_ms": START_MS + 6000}, {"symbols": ("nobody",)}):
                s = Selection(**{"below": snapshot.offsets, **wanted})  # type: ignore[arg-type]
                found = made.table.symbols(snapshot, s, timeout=PATIENCE_S).rows.to_pylist()
                times: dict[tuple[str, str], list[int]] = {}
                for row in wanted_rows(rows_between({}, snapshot.offsets), s):
                    times.setdefault((row["symbol"], row["exchange"]), []).append(row[TRADES.order])
                told = {(f["symbol"], f["exchange"]): (f["rows"], f["first_ms"], f["last_ms"]) for f in found}
                assert told == {who: (len(ms), min(ms), max(ms)) for who, ms in times.items()}
                assert len(found) == len(told)

    @needs("timeouts")
    def test_Q14_a_query_that_takes_too_long_is_a_typed_error(self, tmp_path: Path) -> None:
        """In about the time that it was given; the next one is answered."""
        with self.filled(tmp_path, 3) as made:
            snapshot, began = made.table.newest(), time.monotonic()
            with self.slowed(made.table), pytest.raises(QueryError) as caught:
                made.table.scan(snapshot, Selection(below=snapshot.offsets), timeout=0.1)
            assert caught.value.kind == "timeout"
            assert time.monotonic() - began < self.wait_s / 2
            made.check()


def bars(rows: list[Row], interval: int) -> dict[Any, Any]:
    """Bars of rows in key order."""
    found: dict[Any, Any] = {}
    for r in rows:
        who = (r["symbol"], r["exchange"], r[TRADES.order] // interval * interval)
        found.setdefault(who, []).append(r)
    return {who: _bar(own) for who, own in found.items()}


def _bar(own: list[Row]) -> tuple[Any, ...]:
    prices = [r["price"] for r in own]
    return prices[0], prices[-1], max(prices), min(prices), len(own), pytest.approx(sum(r["quantity"] for r in own))


def merged(parts: list[Row]) -> dict[Any, Any]:
    """Bars of partial bars."""
    places = [(p["symbol"], p["exchange"], p["bar_ms"]) for p in parts]
    found: dict[Any, Any] = {}
    for who in set(places):
        own = [p for p, place in zip(parts, places, strict=True) if place == who]
        first = min(own, key=lambda p: _edge(p, "first"))
        last = max(own, key=lambda p: _edge(p, "last"))
        found[who] = (
            first["open"], last["close"], max(p["high"] for p in own), min(p["low"] for p in own),
            sum(p["trades"] for p in own), sum(p["volume"] for p in own),
        )  # fmt: skip
    return found


def _edge(part: Row, which: str) -> tuple[Any, ...]:
    return tuple(part[f"{which}_{n}"] for n in ("ms", "topic", "partition", "offset"))


assert all(len(names) == 2 for names in SYMBOLS.values()), "two symbols on each partition"
