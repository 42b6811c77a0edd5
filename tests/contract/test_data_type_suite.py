"""Each MUST of a data type has a data type that breaks it, and that fails its test and no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from k2core.plugin import Column, DataType
from k2core.testing import DataTypeSuite
from tests.contract.standard import applying, failing

TICKS = DataType(
    name="ticks",
    summary="one price each",
    record_name="MarketTick",
    versions=2,
    columns=(
        Column("symbol", "string", words=True),
        Column("exchange", "string", words=True),
        Column("exchange_timestamp_ms", "long"),
        Column("price", "double"),
        Column("tick_id", "string"),
        Column("note", "string", True),
        Column("size", "double", True, 2),
    ),
    id_column="tick_id",
    positive=("price",),
    not_negative=("size",),
    table="market.ticks",
)
HEAD = {"symbol": "EUR/USD", "exchange": "ecn", "exchange_timestamp_ms": 1_723_161_255_342}


class TickSuite(DataTypeSuite):
    data_type = TICKS
    rows = ({**HEAD, "price": 1.1, "tick_id": "7", "note": "é", "size": 2.5}, {**HEAD, "price": 1.2, "tick_id": "8"})
    published: ClassVar = {1: TICKS.avro_schema(1)}


def with_columns(change: Mapping[str, Column | None], *more: Column, **changed: Any) -> DataType:
    columns = [change.get(column.name, column) for column in TICKS.columns]
    return replace(TICKS, columns=(*(column for column in columns if column), *more), **changed)


NAMES, HEADS = "test_T01_its_names_fit_everywhere", "test_T02_it_has_what_every_record_has"
TABLE, EVER = "test_T03_its_table_has_no_column_twice", "test_T04_every_version_is_readable_for_ever"
BACK, PUBLISHED = "test_T05_records_come_back_as_they_went", "test_T07_published_versions_never_change"
OLD = "test_T06_older_records_come_back_without_what_came_later"
BROKEN: list[tuple[DataType, str]] = [
    (replace(TICKS, name="Ticks of mine"), NAMES),
    (replace(TICKS, summary=""), NAMES),
    (replace(TICKS, table="ticks"), NAMES),
    (with_columns({}, Column("Volume", "double", True, 2)), NAMES),
    (replace(TICKS, id_column=None), HEADS),
    (replace(TICKS, id_column="id"), HEADS),
    (replace(TICKS, not_negative=("note",)), HEADS),
    (replace(TICKS, not_negative=("price",)), HEADS),
    (replace(TICKS, order="price"), HEADS),
    (with_columns({}, Column("log_offset", "long", True, 2)), TABLE),
    (with_columns({}, versions=3), EVER),
    (with_columns({"note": Column("note", "string")}), PUBLISHED),
    (with_columns({"note": Column("note", "long", True)}), PUBLISHED),
]


def suite_of(data_type: DataType) -> type[DataTypeSuite]:
    rows = tuple(_fitting(data_type, row, number) for number, row in enumerate(TickSuite.rows))
    return type("SuiteTicks", (TickSuite,), {"data_type": data_type, "rows": rows})


def _fitting(data_type: DataType, row: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Rows that show every column, whatever a broken declaration made of it."""
    kinds: dict[str, Any] = {"string": "x", "long": 7, "double": 1.5, "bytes": b"x"}
    shown = {c.name: row.get(c.name) for c in data_type.columns}
    for column in data_type.columns:
        wrong = type(shown[column.name]) is not type(kinds[column.kind])
        if wrong and (not column.nullable or number == 0):
            shown[column.name] = kinds[column.kind]
        elif wrong:
            shown[column.name] = None
    return shown


def test_a_sound_data_type_passes() -> None:
    assert failing(TickSuite) == {}


@pytest.mark.parametrize(("broken", "meant"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_data_type_fails_the_test_meant_for_it(broken: DataType, meant: str) -> None:
    found = failing(suite_of(broken))
    assert set(found) == {meant}, found


class LosesTheLastColumn(DataType):
    """An Avro schema of its own making."""

    def avro_schema(self, version: int) -> dict[str, Any]:
        schema = super().avro_schema(version)
        if version == 1:
            schema["fields"] = schema["fields"][:-1]
        return schema


def test_a_lineage_that_does_not_read_is_found() -> None:
    broken = LosesTheLastColumn(**{name: getattr(TICKS, name) for name in TICKS.__dataclass_fields__})
    found = failing(type("SuiteTicks", (TickSuite,), {"data_type": broken, "published": {}}))
    assert set(found) == {OLD}


def test_rows_that_show_too_little_are_found() -> None:
    assert set(failing(type("SuiteTicks", (TickSuite,), {"rows": TickSuite.rows[1:]}))) == {BACK}


def test_every_must_has_a_data_type_that_breaks_it() -> None:
    assert set(applying(TickSuite)) == {meant for _, meant in BROKEN} | {OLD, BACK}
