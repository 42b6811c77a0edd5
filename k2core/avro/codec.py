"""`Codec`: batches of one data type to Avro datums (newest version) and back (any version of its lineage)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.avro.decode import Rows, decode_rows
from k2core.avro.encode import encode_batch
from k2core.avro.reference import encode_each
from k2core.errors import SchemaError
from k2core.records.data_type import DataType


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of n datums.

    Args:
        batch: The readable ones, in order, in the data type's `arrow_schema`.
        bad: (index among the n, what was wrong) of the others, rising.
    """

    batch: pa.RecordBatch
    bad: Sequence[tuple[int, str]] = ()


class Codec:
    """Encodes and decodes one data type. Keeps no state between calls; any number of threads."""

    def __init__(self, data_type: DataType) -> None:
        self.data_type = data_type
        self._schema = data_type.arrow_schema

    @cached_property
    def _parsed(self) -> Any:
        import fastavro

        return fastavro.parse_schema(self.data_type.avro_schema(self.data_type.versions))

    def encode(self, batch: pa.RecordBatch) -> tuple[npt.NDArray[np.uint32], bytes]:
        """Encode records in the newest version of the schema.

        Args:
            batch: Columns by name; nullable ones may be missing, further ones are an error.

        Returns:
            Bytes of each datum (uint32[n]) and the datums joined.

        Raises:
            SchemaError: A column is missing, unknown, of another type, or null where it may not be.
        """
        batch = self._complete(batch)
        return encode_batch(self.data_type.columns, batch) or encode_each(self._parsed, batch)

    def decode(self, version: int, sizes: npt.NDArray[np.uint32], data: bytes) -> Decoded:
        """Decode datums written in one version of the lineage; columns that it lacks are null.

        Args:
            version: The writer's schema version.
            sizes: Bytes of each datum, uint32[n].
            data: The datums joined.

        Raises:
            SchemaError: The lineage has no such version.
        """
        kind = self.data_type
        if not 1 <= version <= kind.versions:
            raise SchemaError(f"{kind.name}: version {version} is not in the schema's lineage (1 to {kind.versions})")
        rows = Rows(sizes, data)
        written = tuple(c for c in kind.columns if c.since <= version)
        found = dict(zip((c.name for c in written), decode_rows(written, rows), strict=True))
        arrays = [found[f.name] if f.name in found else pa.nulls(rows.n, f.type) for f in self._schema]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        if not rows.failed:
            return Decoded(batch)
        good = np.ones(rows.n, bool)
        good[list(rows.failed)] = False
        return Decoded(batch.filter(pa.array(good)), sorted(rows.failed.items()))

    def _complete(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.schema.names == self._schema.names and batch.schema.types == self._schema.types:
            return batch
        names = set(batch.schema.names)
        if unknown := names - set(self._schema.names):
            raise SchemaError(f"{self.data_type.name} has no columns {sorted(unknown)}")
        arrays = []
        for field in self._schema:
            if field.name not in names:
                if not field.nullable:
                    raise SchemaError(f"{self.data_type.name}: column {field.name} is missing")
                arrays.append(pa.nulls(batch.num_rows, field.type))
                continue
            arrays.append(_fit(batch.column(field.name), field, self.data_type.name))
        return pa.RecordBatch.from_arrays(arrays, names=self._schema.names)


def _fit(column: Any, field: Any, name: str) -> Any:
    plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    have = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if have != plain and not pa.types.is_null(have):
        raise SchemaError(f"{name}: column {field.name} is {column.type}, not {plain}")
    if column.type == field.type:
        return column
    return column.cast(plain).dictionary_encode() if pa.types.is_dictionary(field.type) else column.cast(plain)
