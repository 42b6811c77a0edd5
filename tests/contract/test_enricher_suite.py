"""Each MUST of an enricher has an enricher that breaks it, and that fails its test and no other."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from k2core.plugin import Column, Component, Context, Enricher, Settings
from k2core.testing import EnricherSuite, ManualClock
from tests.contract.pit_normalizer import COMPONENT
from tests.contract.standard import applying, failing


class Value(Enricher):
    """Price times quantity, and the symbol's first letter."""

    data_type = "trades"
    columns: tuple[Column, ...] = (Column("value", "double", True), Column("letter", "string", True, words=True))

    def enrich(self, rows: pa.RecordBatch) -> Mapping[str, Any]:
        return {"value": self.value(rows), "letter": self.letter(rows)}

    def value(self, rows: pa.RecordBatch) -> Any:
        return pc.multiply(rows["price"], rows["quantity"])

    def letter(self, rows: pa.RecordBatch) -> Any:
        return pc.utf8_slice_codeunits(rows["symbol"].dictionary_decode(), 0, 1)


def made(settings: Settings, context: Context) -> Enricher:
    return Value()


made.__module__ = COMPONENT.factory.__module__


class ValueSuite(EnricherSuite):
    component = Component(name="value", summary="price × quantity", settings=Settings, factory=made)
    rows = tuple(
        {"symbol": symbol, "exchange": "pit", "price": price, "quantity": quantity, "trade_id": str(n), "side": side}
        for n, (symbol, price, quantity, side) in enumerate(
            [("AAA", 2.0, 3.0, "buy"), ("BBB", 5.0, 0.5, None), ("AAA", 2.5, 4.0, "sell"), ("CCC", 1.0, 1.0, "buy")]
        )
    )
    expected = (
        {"value": 6.0, "letter": "A"},
        {"value": 2.5, "letter": "B"},
        {"value": 10.0, "letter": "A"},
        {"value": 1.0, "letter": "C"},
    )


class AddsWhatItDidNotDeclare(Value):
    def enrich(self, rows: pa.RecordBatch) -> Mapping[str, Any]:
        return {**super().enrich(rows), "more": rows["price"]}


class MayNotBeNull(Value):
    columns = (Column("value", "double"), Value.columns[1])


class TakesANameOfTheRows(Value):
    columns = (*Value.columns, Column("side", "string", True))

    def enrich(self, rows: pa.RecordBatch) -> Mapping[str, Any]:
        return {**super().enrich(rows), "side": rows["side"]}


class GivesAnotherKind(Value):
    def value(self, rows: pa.RecordBatch) -> Any:
        return super().value(rows).cast(pa.float32())


class AddsThemUp(Value):
    def value(self, rows: pa.RecordBatch) -> Any:
        return pc.add(rows["price"], rows["quantity"])


class CountsItsCalls(Value):
    calls = 0

    def value(self, rows: pa.RecordBatch) -> Any:
        self.calls += 1
        return pc.add(super().value(rows), 0.0 if self.calls == 1 else 1.0)


class ComparesNeighbours(Value):
    """The rank of the batch's last row is found only in whole batches."""

    def letter(self, rows: pa.RecordBatch) -> Any:
        found = super().letter(rows).to_pylist()
        return pa.array(["A" if rows.num_rows == 1 else one for one in found], pa.string())


class AsksTheTime(Value):
    def value(self, rows: pa.RecordBatch) -> Any:
        return pc.multiply(super().value(rows), 1.0 if time.time() < 4e9 else 2.0)


class AsksTheCalendar(Value):
    """By a name that it took when it was imported."""

    def value(self, rows: pa.RecordBatch) -> Any:
        return pc.multiply(super().value(rows), 1.0 if datetime.now(UTC).year < 2090 else 2.0)


class AsksTheNanoseconds(Value):
    def letter(self, rows: pa.RecordBatch) -> Any:
        found = super().letter(rows)
        return found if time.time_ns() < 4e18 and date.today().year < 2090 else pc.utf8_lower(found)


class AsksItsContext(Value):
    def __init__(self) -> None:
        self.clock = ManualClock()

    def value(self, rows: pa.RecordBatch) -> Any:
        return pc.multiply(super().value(rows), 1.0 if self.clock.now_ms() < 4e12 else 2.0)


class HasAFullCache(Value):
    calls = 0

    def letter(self, rows: pa.RecordBatch) -> Any:
        self.calls += 1
        return super().letter(rows) if self.calls <= 1000 else pa.nulls(rows.num_rows, pa.string())


class GivesLargeBatchesTheirMean(Value):
    def value(self, rows: pa.RecordBatch) -> Any:
        found = super().value(rows)
        return found if rows.num_rows <= 1000 else pa.array([pc.mean(found).as_py()] * rows.num_rows)


class ForgetsEachThousandthRow(Value):
    def value(self, rows: pa.RecordBatch) -> Any:
        found = super().value(rows).to_pylist()
        return pa.array([None if n % 1000 == 999 else one for n, one in enumerate(found)], pa.float64())


class WritesIntoTheRows(Value):
    def value(self, rows: pa.RecordBatch) -> Any:
        found = super().value(rows)
        ctypes.memset(rows["log_timestamp"].buffers()[1].address, 1, 8 * bool(rows.num_rows))
        return found


class FailsOnOddSymbols(Value):
    def letter(self, rows: pa.RecordBatch) -> Any:
        return pa.array([symbol[0] for symbol in rows["symbol"].to_pylist()], pa.string())


BROKEN: list[tuple[type[Enricher], str]] = [
    (AddsWhatItDidNotDeclare, "test_E01_it_adds_the_columns_that_it_declares"),
    (MayNotBeNull, "test_E01_it_adds_the_columns_that_it_declares"),
    (TakesANameOfTheRows, "test_E01_it_adds_the_columns_that_it_declares"),
    (GivesAnotherKind, "test_E01_it_adds_the_columns_that_it_declares"),
    (AddsThemUp, "test_E02_each_row_gets_its_values"),
    (CountsItsCalls, "test_E03_the_same_rows_get_the_same_values"),
    (AsksTheTime, "test_E03_the_same_rows_get_the_same_values"),
    (AsksTheCalendar, "test_E03_the_same_rows_get_the_same_values"),
    (AsksTheNanoseconds, "test_E03_the_same_rows_get_the_same_values"),
    (AsksItsContext, "test_E03_the_same_rows_get_the_same_values"),
    (HasAFullCache, "test_E03_the_same_rows_get_the_same_values"),
    (ComparesNeighbours, "test_E04_a_row_stands_for_itself"),
    (GivesLargeBatchesTheirMean, "test_E04_a_row_stands_for_itself"),
    (ForgetsEachThousandthRow, "test_E04_a_row_stands_for_itself"),
    (WritesIntoTheRows, "test_E05_the_rows_are_left_as_they_were"),
    (FailsOnOddSymbols, "test_E06_strange_rows_are_no_error"),
]


def suite_of(enricher: type[Enricher]) -> type[EnricherSuite]:
    def make(self: EnricherSuite, **options: Any) -> Enricher:
        return enricher()

    return type(f"Suite{enricher.__name__}", (ValueSuite,), {"make": make})


def test_a_sound_enricher_passes() -> None:
    assert failing(suite_of(Value)) == {}


@pytest.mark.parametrize(("broken", "meant"), BROKEN, ids=[broken.__name__ for broken, _ in BROKEN])
def test_a_broken_enricher_fails_the_test_meant_for_it(broken: type[Enricher], meant: str) -> None:
    found = failing(suite_of(broken))
    assert set(found) == {meant}, found


def test_every_must_has_an_enricher_that_breaks_it() -> None:
    assert {name for name in applying(ValueSuite) if "_E" in name} == {meant for _, meant in BROKEN}
