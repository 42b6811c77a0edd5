"""Enrichers in admission: values on rows, whichever way the log is cut; and what a bad one costs: nulls, counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from k2core.admission import Admission
from k2core.admission.enrichment import FAILURES, Enrichment, Running
from k2core.interfaces.enricher import Enricher
from k2core.records.builtin import TRADES
from k2core.records.data_type import Column
from k2core.telemetry.metrics import Metrics
from tests.unit.admission.admission_blocks import block, trade

DOUBLED = Column("doubled", "double", True)
WORD = Column("word", "string", True, words=True)
RANK = Column("rank", "long", True)
Work = Callable[[pa.RecordBatch], Any]


class Made(Enricher):
    """An enricher of one function."""

    data_type = "trades"

    def __init__(self, work: Work, *columns: Column) -> None:
        self._work, self.columns = work, columns or (DOUBLED,)

    def enrich(self, rows: pa.RecordBatch) -> Mapping[str, Any]:
        return self._work(rows)  # type: ignore[no-any-return]


def world(*enrichers: Enricher, active: bool = True) -> tuple[Admission, Metrics]:
    metrics = Metrics()
    running = tuple(Running.of(f"e{n}", "k2-plugin-x 1.0", e, active=active) for n, e in enumerate(enrichers))
    kind = TRADES.with_added([c for e in enrichers for c in e.columns])
    return Admission(kind, {}, enrichment=Enrichment(running, metrics)), metrics


def column(admission: Admission, name: str, *trades: dict[str, Any]) -> list[Any]:
    rows = admission.admit([block(*trades)]).rows
    assert rows.schema == admission.data_type.table_schema
    assert len(rows) == len(trades), "no row may be lost"
    found: list[Any] = rows[name].to_pylist()
    return found


def prices(*values: float) -> list[dict[str, Any]]:
    return [trade(str(n), price=value) for n, value in enumerate(values, 1)]


def doubled(rows: pa.RecordBatch) -> dict[str, Any]:
    return {"doubled": pc.multiply(rows["price"], 2.0)}


def picky(rows: pa.RecordBatch) -> dict[str, Any]:
    """Cannot bear 13."""
    if 13.0 in rows["price"].to_pylist():
        raise ZeroDivisionError("13 again")
    return doubled(rows)


def short(rows: pa.RecordBatch) -> dict[str, Any]:
    """Forgets rows at 13."""
    return {"doubled": pa.array([2 * p for p in rows["price"].to_pylist() if p != 13.0], pa.float64())}


def test_rows_get_their_columns_behind_all_others() -> None:
    admission, metrics = world(Made(doubled))
    assert column(admission, "doubled", *prices(1.5, 4.0)) == [3.0, 8.0]
    assert admission.data_type.table_schema.names == [*TRADES.table_schema.names, "doubled"]
    assert metrics.value(FAILURES) == 0


def test_an_enricher_sees_the_row_and_its_place_and_no_other_enricher() -> None:
    seen: list[list[str]] = []

    def look(rows: pa.RecordBatch) -> dict[str, Any]:
        seen.append(rows.schema.names)
        return {"rank": rows["log_offset"]}

    admission, _ = world(Made(doubled), Made(look, RANK))
    assert column(admission, "rank", *prices(1, 2)) == [0, 1]
    assert seen == [TRADES.table_schema.names]


@pytest.mark.parametrize("work", [picky, short])
def test_a_bad_row_costs_its_own_values_alone_however_the_log_is_cut(work: Work) -> None:
    admission, metrics = world(Made(work))
    given = prices(1, 13, 2, 3, 13, 4, 5)
    assert column(admission, "doubled", *given) == [2, None, 4, 6, None, 8, 10]
    assert metrics.value(FAILURES, enricher="e0") == 2
    for cut in range(1, len(given)):
        parts = [column(admission, "doubled", *part) for part in (given[:cut], given[cut:])]
        assert parts[0] + parts[1] == [2, None, 4, 6, None, 8, 10]


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (lambda rows: None, "UndeclaredError"),
        (lambda rows: {}, "UndeclaredError"),
        (lambda rows: {**doubled(rows), "more": rows["price"]}, "UndeclaredError"),
        (lambda rows: {"doubled": [1.0] * rows.num_rows}, "WrongColumnError"),
        (lambda rows: {"doubled": rows["symbol"]}, "WrongColumnError"),
        (lambda rows: {"doubled": rows["log_offset"]}, "WrongColumnError"),
        (lambda rows: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_whatever_it_returns_no_row_is_lost(work: Work, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    admission, metrics = world(Made(work))
    with caplog.at_level(logging.ERROR):
        assert column(admission, "doubled", *prices(1, 2, 3)) == [None] * 3
    assert metrics.value(FAILURES, enricher="e0", reason=reason) == 3
    assert "enricher e0 (k2-plugin-x 1.0) failed" in caplog.text
    told = len(caplog.records)
    column(admission, "doubled", *prices(1, 2, 3))
    assert len(caplog.records) == told, "the same error is told once, and counted every time"
    assert metrics.value(FAILURES) == 6


def test_one_bad_enricher_leaves_the_others_alone() -> None:
    admission, _ = world(Made(lambda rows: 1 / 0, RANK), Made(doubled))
    rows = admission.admit([block(*prices(1, 2))]).rows
    assert rows["rank"].to_pylist() == [None, None]
    assert rows["doubled"].to_pylist() == [2.0, 4.0]


def test_numbers_that_are_none_become_null() -> None:
    strange = [float("nan"), float("inf"), float("-inf"), 1.0, None]
    admission, metrics = world(Made(lambda rows: {"doubled": pa.array(strange, pa.float64())}))
    assert column(admission, "doubled", *prices(1, 2, 3, 4, 5)) == [None, None, None, 1.0, None]
    assert metrics.value(FAILURES) == 0


@pytest.mark.parametrize(
    "words", [pa.array(["a", None]), pa.array(["a", None]).dictionary_encode(), pa.chunked_array([["a"], [None]])]
)
def test_words_come_in_any_form(words: Any) -> None:
    admission, _ = world(Made(lambda rows: {"word": words}, WORD))
    assert column(admission, "word", *prices(1, 2)) == ["a", None]


def test_one_that_is_switched_off_keeps_its_columns() -> None:
    admission, metrics = world(Made(lambda rows: 1 / 0), active=False)
    assert column(admission, "doubled", *prices(1, 2)) == [None, None]
    assert metrics.value(FAILURES) == 0


def test_refused_records_are_not_enriched() -> None:
    admission, _ = world(Made(picky))
    admitted = admission.admit([block(*prices(1), trade("2", price=-13.0), *prices(3))])
    assert admitted.rows["doubled"].to_pylist() == [2.0, 6.0]
    assert len(admitted.dead) == 1
