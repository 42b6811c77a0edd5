"""`DataType`: one declaration from which the Arrow, Avro and Iceberg schemas of a kind of record all follow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa

ColumnKind = Literal["string", "long", "double", "bytes"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a record.

    Args:
        name: The name in Avro, Arrow, the table, JSON and CSV alike.
        kind: `string`, `long` (64 bit), `double` or `bytes`.
        nullable: In Avro a union with null, default null.
        since: First schema version that has the column.
        doc: What it means, with its unit.
        words: A string column of few distinct values: dictionary-encoded in memory (`dictionary<int32, string>`).
    """

    name: str
    kind: ColumnKind
    nullable: bool = False
    since: int = 1
    doc: str = ""
    words: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class DataType:
    """A kind of record: its columns, identity, table and order.

    Args:
        name: `trades`, `quotes` …: lower case, the third part of the topic's name.
        summary: One line for `k2 plugins`.
        record_name: Avro record name without version, as `MarketData`; version n is `MarketDataVn`.
        versions: Number of the newest schema version; the lineage is 1..versions.
        columns: Every column of the newest version, in wire order.
        id_column: The exchange's own id, a `string` column; with exchange, symbol and `id_epoch` the identity.
        positive: Columns that must be finite and > 0.
        not_negative: Columns that must be finite and ≥ 0.
        added: Columns that enrichers add to the table, behind all others; neither in Avro nor in the log.
        table: `namespace.table` where rows are kept, or None for a type that lives in the log alone.
        order: The column that answers are ordered by, Unix ms.
    """

    name: str
    summary: str
    record_name: str
    versions: int
    columns: tuple[Column, ...]
    id_column: str | None = None
    positive: tuple[str, ...] = ()
    not_negative: tuple[str, ...] = ()
    added: tuple[Column, ...] = ()
    table: str | None = None
    order: str = "exchange_timestamp_ms"

    @property
    def identity(self) -> tuple[str, ...]:
        """Columns that together name one event; empty where there is none."""
        return ("exchange", "symbol", "id_epoch", self.id_column) if self.id_column else ()

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """Arrow schema of the record columns (no position columns); `words` columns are dictionaries."""
        from k2core.records.arrow import arrow_schema

        return arrow_schema(self.columns)

    @cached_property
    def table_schema(self) -> pa.Schema:
        """Arrow schema of a stored row: record columns, then `TABLE_COLUMNS`, then what enrichers add."""
        from k2core.records.arrow import table_schema

        return table_schema(self)

    def with_added(self, columns: Iterable[Column]) -> DataType:
        """The same data type, its table with further columns."""
        return replace(self, added=(*self.added, *columns))

    def without_added(self) -> DataType:
        """The same data type as the log knows it."""
        return replace(self, added=()) if self.added else self

    def avro_schema(self, version: int) -> dict[str, Any]:
        """Avro schema of one version of the lineage.

        Args:
            version: 1 … `versions`.

        Raises:
            ValueError: There is no such version.
        """
        if not 1 <= version <= self.versions:
            raise ValueError(f"{self.name} has schema versions 1 to {self.versions}, not {version}")
        schema: dict[str, Any] = {
            "type": "record",
            "name": f"{self.record_name}V{version}",
            "namespace": "k2",
            "fields": [_avro_field(c) for c in self.columns if c.since <= version],
        }
        if version > 1:
            schema["aliases"] = [f"k2.{self.record_name}V{v}" for v in range(1, version)]
        return schema


def _avro_field(column: Column) -> dict[str, Any]:
    field: dict[str, Any] = {"name": column.name, "type": column.kind}
    if column.nullable:
        field |= {"type": ["null", column.kind], "default": None}
    if column.doc:
        field["doc"] = column.doc
    return field
