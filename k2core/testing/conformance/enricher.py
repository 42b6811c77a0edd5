"""`EnricherSuite`: what every enricher must do. MUSTs E01 … of `docs/specs/component.md`.

class TestNotional(EnricherSuite):
    component = k2_enrichers()[0]
    data_type = TRADES
    rows = ({"symbol": "BTCUSDT", "exchange": "binance", "price": 2.0, "quantity": 3.0, …}, …)
    expected = ({"notional": 6.0, "quote_currency": "USDT"}, …)
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

from k2core.interfaces.enricher import Enricher
from k2core.records.builtin import TRADES
from k2core.records.data_type import Column, DataType
from k2core.testing.conformance.facts import given
from k2core.testing.conformance.light import LightSuite
from k2core.testing.conformance.moved_time import MOVES_S, moved_time

if TYPE_CHECKING:
    import pyarrow as pa

Columns = dict[str, list[Any]]
STRANGE_ROWS = 200
CALLS, CALLS_S = 3000, 5.0
"""How often E03 asks the same, and for how long at most."""
MANY_ROWS, SLICES = 10_000, (997, 4096)
"""Rows of E04's large batch, at least, and of the slices that it is cut into."""


class EnricherFacts(LightSuite):
    """What the author of an enricher gives.

    Attributes:
        data_type: Whose rows it enriches.
        rows: Some rows, record columns by name; what is left out is null, or something of its kind.
        expected: What it adds to each, by name; doubles to 12 digits.
    """

    data_type: ClassVar[DataType] = TRADES
    rows: ClassVar[Sequence[Mapping[str, Any]]]
    expected: ClassVar[Sequence[Mapping[str, Any]]]

    def _enricher(self) -> Enricher:
        return given(self.make(), Enricher)  # type: ignore[type-abstract]

    def _batch(self, rows: Sequence[Mapping[str, Any]] | None = None) -> pa.RecordBatch:
        import pyarrow as pa

        rows = self.rows if rows is None else rows
        schema = self.data_type.without_added().table_schema
        filled = [{f.name: _default(f) for f in schema if not f.nullable} | dict(row) for row in rows]
        return pa.RecordBatch.from_arrays(
            [_column([row.get(field.name) for row in filled], field.type) for field in schema], schema=schema
        )

    def _added(self, batch: pa.RecordBatch, enricher: Enricher | None = None) -> Columns:
        found = (enricher or self._enricher()).enrich(batch)
        for name, column in found.items():
            assert len(column) == batch.num_rows, f"{name} has {len(column)} values for {batch.num_rows} rows"
        return {name: column.to_pylist() for name, column in found.items()}


class EnricherSuite(EnricherFacts):
    """Columns, values, purity; see `EnricherFacts` for what a subclass gives and declares."""

    def test_E01_it_adds_the_columns_that_it_declares(self) -> None:
        """All of them, no other, in their kinds; nullable, and none that the rows have already."""
        enricher = self._enricher()
        assert enricher.data_type == self.data_type.name
        assert enricher.columns, "an enricher that adds nothing"
        taken = set(self.data_type.without_added().table_schema.names)
        for column in enricher.columns:
            assert isinstance(column, Column)
            assert column.nullable, f"{column.name} must be nullable: older rows have none"
            assert column.kind in ("string", "long", "double"), f"{column.name} is {column.kind}"
            assert column.name not in taken, f"{self.data_type.name} has a column {column.name} of its own"
        found = enricher.enrich(self._batch())
        assert set(found) == {column.name for column in enricher.columns}
        for column in enricher.columns:
            kinds = _kinds(column)
            assert found[column.name].type in kinds, f"{column.name} is {found[column.name].type}, declared {kinds[0]}"

    def test_E02_each_row_gets_its_values(self) -> None:
        """As expected, row by row, in the order of the rows."""
        assert self.rows, "the suite needs rows"
        assert len(self.expected) == len(self.rows), "one `expected` for each of `rows`"
        found = self._added(self._batch())
        for at, wanted in enumerate(self.expected):
            got = {name: found.get(name, [None] * len(self.rows))[at] for name in wanted}
            assert all(_same(got[name], wanted[name]) for name in wanted), f"row {at}: {got}, expected {dict(wanted)}"

    def test_E03_the_same_rows_get_the_same_values(self) -> None:
        """Asked twice, of another instance, by several threads at once, some thousand times, and at another time."""
        enricher, batch = self._enricher(), self._batch()
        first = self._added(batch, enricher)
        assert self._added(batch, enricher) == first, "the second call answers otherwise: something is kept"
        assert self._added(batch) == first, "another instance answers otherwise"
        with ThreadPoolExecutor(4) as pool:
            assert all(one == first for one in pool.map(lambda _: self._added(batch, enricher), range(20)))
        until = time.monotonic() + CALLS_S
        for call in range(CALLS):
            assert self._added(batch, enricher) == first, f"call {call + 23} answers otherwise: something is kept"
            if time.monotonic() > until:
                break
        modules = {kind.__module__ for kind in type(enricher).__mro__} | {self.component.factory.__module__}
        for seconds in MOVES_S:
            with moved_time(seconds, modules - {"builtins", "abc"}):
                found = [self._added(batch, one) for one in (enricher, self._enricher())]
            assert found == [first, first], "at another time it answers otherwise: it looks at the clock"

    def test_E04_a_row_stands_for_itself(self) -> None:
        """However the log is cut into batches: alone, in slices, reversed, doubled, with thousands of others."""
        rows = list(self.rows)
        whole = self._added(self._batch())
        apart = [self._added(self._batch([row])) for row in rows]
        assert {name: [one[name][0] for one in apart] for name in whole} == whole, "alone"
        for at in range(len(rows) + 1):
            left, right = self._added(self._batch().slice(0, at)), self._added(self._batch().slice(at))
            assert {name: left[name] + right[name] for name in whole} == whole, f"cut after row {at}"
        backwards = self._added(self._batch(rows[::-1]))
        assert {name: values[::-1] for name, values in backwards.items()} == whole, "reversed"
        doubled = self._added(self._batch(rows * 2))
        assert doubled == {name: values * 2 for name, values in whole.items()}, "doubled"
        self._check_many(rows, whole)

    def _check_many(self, rows: list[Mapping[str, Any]], whole: Columns) -> None:
        """A batch as large as a busy minute: as a whole, in slices, and rows out of the midst of it."""
        times = -(-MANY_ROWS // len(rows))
        batch, wanted = self._batch(rows * times), {name: values * times for name, values in whole.items()}
        for size in (batch.num_rows, *SLICES):
            found: Columns = {name: [] for name in whole}
            for start in range(0, batch.num_rows, size):
                for name, values in self._added(batch.slice(start, size)).items():
                    found[name] += values
            wrong = [n for name in whole for n in range(batch.num_rows) if found[name][n] != wanted[name][n]]
            assert not wrong, f"of {batch.num_rows} rows in batches of {size}, rows {wrong[:3]} … differ"
        for at in (0, 999, 1000, 4095, 4096, batch.num_rows - 1):
            one = {name: values[at : at + 1] for name, values in wanted.items()}
            assert self._added(batch.slice(at, 1)) == one, f"row {at} of {batch.num_rows}, alone"

    def test_E05_the_rows_are_left_as_they_were(self) -> None:
        """Not a value of what is stored changes."""
        import pyarrow as pa

        batch = self._batch()
        before = pa.RecordBatch.from_pylist(batch.to_pylist(), schema=batch.schema)
        self._added(batch)
        assert batch.to_pylist() == before.to_pylist()

    def test_E06_strange_rows_are_no_error(self) -> None:
        """Nulls where they are allowed, huge and tiny numbers, odd symbols, no rows at all."""
        pick = random.Random(5)  # noqa: S311 - repeatable, no secret
        rows = [
            {field.name: _strange(field, pick) for field in self.data_type.arrow_schema} for _ in range(STRANGE_ROWS)
        ]
        self._added(self._batch(rows))
        assert all(not values for values in self._added(self._batch([])).values())


def _kinds(column: Column) -> list[Any]:
    import pyarrow as pa

    from k2core.records.arrow import ARROW_TYPES

    plain = ARROW_TYPES[column.kind]
    return [plain, pa.dictionary(pa.int32(), plain), pa.null()] if column.words else [plain, pa.null()]


def _column(values: list[Any], kind: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode()
    return pa.array(values, kind)


def _default(field: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_dictionary(field.type) or pa.types.is_string(field.type):
        return "x"
    return 0.0 if pa.types.is_floating(field.type) else 0


def _strange(field: Any, pick: random.Random) -> Any:
    import pyarrow as pa

    if field.nullable and pick.random() < 0.3:
        return None
    if pa.types.is_floating(field.type):
        return pick.choice((5e-324, 1e-300, 1e300, 1.7e308, 1.0))
    if pa.types.is_integer(field.type):
        return pick.choice((1, 0, (1 << 62), 1_700_000_000_000))
    return pick.choice(("", "x", "/", "BTCUSDT", "BTC-PERP", "Ünï/çødé", "a" * 64, "-", "USDT"))


def _same(got: Any, wanted: Any) -> bool:
    if isinstance(got, float) and isinstance(wanted, float | int):
        return abs(got - wanted) <= 1e-12 * max(abs(got), abs(wanted))
    return bool(got == wanted)
