"""What a new table is: columns, partitions, sort order, properties; and whether an existing one fits.

A nullable column that an existing table lacks (an enricher's, a newer schema version's) is added to it: rows written
before are null there. Survived: another process that adds it at the same time, or commits in between. Columns that the
table has and nobody declares any more stay, with their values.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException, NamespaceAlreadyExistsError, TableAlreadyExistsError
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import BucketTransform, IdentityTransform
from pyiceberg.types import DateType, DoubleType, IntegerType, LongType, NestedField, StringType
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from k2_plugin_iceberg.catalog import LakeCatalog, load_or_none
from k2_plugin_iceberg.files import make_folder
from k2_plugin_iceberg.location import table_name
from k2core.plugin import PARTITIONS, DataType, SinkError

if TYPE_CHECKING:
    from pyiceberg.table import Table

    from k2_plugin_iceberg.settings import IcebergSettings

BOUNDED = ("symbol", "exchange", "sequence_num", "topic", "log_partition", "log_offset", "log_timestamp")
"""Columns, besides the order column, whose least and greatest values every file's entry tells."""

EVOLVE_ATTEMPTS = 5

_TYPES: dict[pa.DataType, Any] = {
    pa.string(): StringType(),
    pa.int64(): LongType(),
    pa.int32(): IntegerType(),
    pa.float64(): DoubleType(),
    pa.date32(): DateType(),
}


def iceberg_schema(data_type: DataType) -> Schema:
    """A data type's table columns as an Iceberg schema; ids count from 1 in order.

    Raises:
        SinkError: A column has a type that tables do not hold.
    """
    fields = []
    for number, field in enumerate(data_type.table_schema, 1):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if kind not in _TYPES:
            raise SinkError(f"column {field.name} of data type {data_type.name} is {kind}: a table cannot hold it")
        fields.append(NestedField(number, field.name, _TYPES[kind], required=not field.nullable))
    return Schema(*fields)


def _properties(data_type: DataType, settings: IcebergSettings) -> dict[str, str]:
    bounded = [c for c in (data_type.order, *BOUNDED) if c in data_type.table_schema.names]
    return {
        "commit.retry.num-retries": "0",  # pyiceberg's own retry lands a stale append a second time
        "commit.manifest-merge.enabled": "true",
        "commit.manifest.min-count-to-merge": str(settings.manifest_merge_min),
        "write.delete.isolation-level": "snapshot",
        "write.metadata.delete-after-commit.enabled": "true",
        "write.metadata.previous-versions-max": str(settings.metadata_versions),
        "write.metadata.metrics.default": "none",
        **{f"write.metadata.metrics.column.{c}": "full" for c in bounded},
        "write.parquet.compression-codec": settings.compression,
        "write.parquet.compression-level": str(settings.compression_level),
        "write.parquet.row-group-limit": str(settings.row_group_rows),
    }


def open_table(catalog: LakeCatalog, data_type: DataType, settings: IcebergSettings) -> Table:
    """Load a data type's table, creating it where it is missing.

    Raises:
        SinkError: It cannot be opened, or it lacks columns or has them with other types.
    """
    try:
        table = load_or_none(catalog, data_type) or _create(catalog, data_type, settings)
    except (OSError, SQLAlchemyError) as error:
        raise SinkError(f"table {data_type.table} in {settings.uri} cannot be opened: {error}") from error
    return _fitting(table, data_type)


def _fitting(table: Table, data_type: DataType) -> Table:
    """The table, once it has every column of the data type.

    Raises:
        SinkError: It cannot have them.
    """
    for _ in range(EVOLVE_ATTEMPTS):
        _check_fits(table, data_type)
        there = {f.name for f in table.schema().fields}
        lacking = [f for f in iceberg_schema(data_type).fields if f.name not in there]
        if not lacking:
            return table
        try:
            with table.update_schema() as change:
                for field in lacking:
                    change.add_column(field.name, field.field_type)
        except (CommitFailedException, ValueError):  # somebody else committed, or added it: look again
            table = table.refresh()
        except (OSError, SQLAlchemyError) as error:
            raise SinkError(f"table {data_type.table}: columns cannot be added: {error}") from error
    raise SinkError(
        f"table {data_type.table}: columns {', '.join(f.name for f in lacking)} could not be added in {EVOLVE_ATTEMPTS} "
        "attempts, others commit all the time: try again"
    )


def _create(catalog: LakeCatalog, data_type: DataType, settings: IcebergSettings) -> Table:
    name, schema = table_name(data_type), iceberg_schema(data_type)
    folder = settings.table_folder(data_type.table or "")
    for part in ("data", "metadata"):
        make_folder(folder / part)
    date, symbol, order = (schema.find_field(c).field_id for c in ("exchange_date", "symbol", data_type.order))
    with contextlib.suppress(NamespaceAlreadyExistsError, IntegrityError):  # another table, or process, made it
        catalog.create_namespace(name[0])
    try:
        return catalog.create_table(
            name,
            schema,
            location=f"file://{folder}",
            partition_spec=PartitionSpec(
                PartitionField(date, 1000, IdentityTransform(), "exchange_date"),
                PartitionField(symbol, 1001, BucketTransform(PARTITIONS), "symbol_bucket"),
            ),
            sort_order=SortOrder(SortField(symbol, IdentityTransform()), SortField(order, IdentityTransform())),
            properties=_properties(data_type, settings),
        )
    except TableAlreadyExistsError:  # another process was faster
        return catalog.load_table(name)


def _check_fits(table: Table, data_type: DataType) -> None:
    there = {f.name: f for f in table.schema().fields}
    for field in iceberg_schema(data_type).fields:
        found = there.pop(field.name, None)
        if found is None and not field.required:
            continue
        if found is None or found.field_type != field.field_type:
            what = "is missing" if found is None else f"is {found.field_type}, not {field.field_type}"
            raise SinkError(
                f"table {data_type.table} at {table.location()}: column {field.name} {what}; it was made by another "
                "version or program: add the column to the table, or name another warehouse"
            )
    if needed := [f.name for f in there.values() if f.required]:
        raise SinkError(
            f"table {data_type.table} at {table.location()}: rows need a value in {', '.join(needed)}, which no installed "
            "data type has: make those columns optional, or name another warehouse"
        )
    names = [f.name for f in table.spec().fields]
    if names != ["exchange_date", "symbol_bucket"]:
        raise SinkError(
            f"table {data_type.table} at {table.location()} is partitioned by {names}, not by exchange_date and "
            "bucket(16, symbol): name another warehouse"
        )
