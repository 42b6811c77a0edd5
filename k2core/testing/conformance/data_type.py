"""`DataTypeSuite`: what every data type must be. MUSTs T01 … of `docs/specs/component.md`.

class TestTicks(DataTypeSuite):
    data_type = TICKS
    rows = ({"symbol": "EUR/USD", "exchange": "ecn", "exchange_timestamp_ms": 1, "price": 1.1, "tick_id": "7"},)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from k2core.records.data_type import Column, DataType
from k2core.testing.conformance.facts import FactSuite

HEAD = {"symbol": "string", "exchange": "string", "exchange_timestamp_ms": "long"}
_SNAKE = re.compile(r"[a-z][a-z0-9_]*")


class DataTypeFacts(FactSuite):
    """What the author of a data type gives.

    Attributes:
        data_type: The declaration.
        rows: Some records, all columns of one of them set; what is left out is null.
        published: Avro schemas of versions that were released, by version: they never change again.
    """

    data_type: ClassVar[DataType]
    rows: ClassVar[Sequence[Mapping[str, Any]]]
    published: ClassVar[Mapping[int, Mapping[str, Any]]] = {}

    def _batch(self, names: Sequence[str] | None = None) -> Any:
        import pyarrow as pa

        schema = self.data_type.arrow_schema
        fields = [field for field in schema if names is None or field.name in names]
        arrays = []
        for field in fields:
            values = [row.get(field.name) for row in self.rows]
            words = pa.types.is_dictionary(field.type)
            array = pa.array(values, field.type.value_type if words else field.type)
            arrays.append(array.dictionary_encode() if words else array)
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


class DataTypeSuite(DataTypeFacts):
    """Names, columns, lineage and table; see `DataTypeFacts` for what a subclass gives."""

    def test_T01_its_names_fit_everywhere(self) -> None:
        """In topics, addresses, tables, Avro, JSON and CSV."""
        kind = self.data_type
        assert re.fullmatch(r"[a-z][a-z0-9_-]*", kind.name), f"{kind.name!r}: the third part of the topic's name"
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]*", kind.record_name), f"{kind.record_name!r}: a name for Avro"
        assert kind.summary, "one line for `k2 plugins`"
        assert "\n" not in kind.summary, "one line for `k2 plugins`"
        names = [column.name for column in kind.columns]
        assert len(set(names)) == len(names), f"columns repeat: {names}"
        assert not (bad := [name for name in names if not _SNAKE.fullmatch(name)]), f"lower_case names, not {bad}"
        assert kind.table is None or re.fullmatch(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*", kind.table), kind.table

    def test_T02_it_has_what_every_record_has(self) -> None:
        """Symbol, exchange, event time in ms, none of them null; order, identity and checks name columns that fit."""
        kind, columns = self.data_type, {column.name: column for column in self.data_type.columns}
        for name, wanted in HEAD.items():
            assert name in columns, f"every record has {name}"
            assert (columns[name].kind, columns[name].nullable) == (wanted, False), f"{name} is a {wanted}, never null"
        self._check_named(columns, (kind.order,), "long", "order")
        if kind.id_column is not None:
            self._check_named(columns, (kind.id_column,), "string", "id_column")
        self._check_named(columns, (*kind.positive, *kind.not_negative), "double", "positive, not_negative")
        assert not set(kind.positive) & set(kind.not_negative), "positive or not_negative, not both"
        for column in kind.columns:
            assert column.kind == "string" or not column.words, f"{column.name}: only strings are words"
        assert kind.table is None or kind.id_column, "rows of a table have an identity: name the id_column"

    def _check_named(self, columns: Mapping[str, Column], names: Sequence[str], wanted: str, where: str) -> None:
        for name in names:
            assert name in columns, f"{where} names {name}, no column"
            assert columns[name].kind == wanted, f"{where} names {name}, a {columns[name].kind}, not a {wanted}"

    def test_T03_its_table_has_no_column_twice(self) -> None:
        """The table adds where a row came from; the record may not have those names."""
        names = self.data_type.table_schema.names
        assert len(set(names)) == len(names), f"twice: {sorted({name for name in names if names.count(name) > 1})}"

    def test_T04_every_version_is_readable_for_ever(self) -> None:
        """What a version adds is nullable, so that older records stay readable; every version is valid Avro."""
        import fastavro

        kind = self.data_type
        assert kind.versions >= 1
        for column in kind.columns:
            assert 1 <= column.since <= kind.versions, f"{column.name} is since version {column.since}"
            assert column.since == 1 or column.nullable, f"{column.name} came later: it must be nullable"
        for version in range(1, kind.versions + 1):
            fastavro.parse_schema(kind.avro_schema(version))
            assert any(column.since == version for column in kind.columns), f"version {version} adds nothing"

    def test_T05_records_come_back_as_they_went(self) -> None:
        """Through Avro in the newest version, nulls and all."""
        from k2core.avro.codec import Codec

        assert self.rows, "the suite needs rows"
        for column in self.data_type.columns:
            shown = any(row.get(column.name) is not None for row in self.rows)
            assert shown, f"no row shows {column.name}"
        codec = Codec(self.data_type)
        sizes, data = codec.encode(self._batch())
        found = codec.decode(self.data_type.versions, sizes, data)
        assert not found.bad
        assert found.batch.to_pylist() == self._batch().to_pylist()

    def test_T06_older_records_come_back_without_what_came_later(self) -> None:
        """Written in each version by an independent writer, read in the newest."""
        import io

        import fastavro
        import numpy as np

        from k2core.avro.codec import Codec

        kind, codec = self.data_type, Codec(self.data_type)
        for version in range(1, kind.versions + 1):
            old = [column.name for column in kind.columns if column.since <= version]
            schema, sizes, joined = fastavro.parse_schema(kind.avro_schema(version)), [], b""
            for row in self.rows:
                out = io.BytesIO()
                fastavro.schemaless_writer(out, schema, {name: row.get(name) for name in old})
                sizes.append(len(out.getvalue()))
                joined += out.getvalue()
            found = codec.decode(version, np.array(sizes, np.uint32), joined)
            wanted = [{c.name: row.get(c.name) if c.name in old else None for c in kind.columns} for row in self.rows]
            assert found.batch.to_pylist() == wanted, f"version {version}"

    def test_T07_published_versions_never_change(self) -> None:
        """Names, types and defaults of every released version are those that were released."""
        for version, published in self.published.items():
            assert _bare(self.data_type.avro_schema(version)) == _bare(published), f"version {version} has changed"


def _bare(schema: Mapping[str, Any]) -> Any:
    """A schema without words for people."""
    fields = [{k: v for k, v in field.items() if k != "doc"} for field in schema["fields"]]
    return schema["name"], fields
