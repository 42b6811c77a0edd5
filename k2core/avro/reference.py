"""The same codec through fastavro, a record at a time.

It is what the vectorised paths must equal, and the path for records with fields too long for them.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.errors import SchemaError


def encode_each(schema: Any, batch: pa.RecordBatch) -> tuple[npt.NDArray[np.uint32], bytes]:
    """Encode a batch record by record.

    Args:
        schema: Parsed by `fastavro.parse_schema`.
        batch: Columns named as the schema's fields.

    Raises:
        SchemaError: A value does not fit.
    """
    import fastavro

    out, sizes = io.BytesIO(), np.zeros(batch.num_rows, np.uint32)
    for row, record in enumerate(batch.to_pylist()):
        before = out.tell()
        try:
            fastavro.schemaless_writer(out, schema, record)
        except (TypeError, ValueError, AttributeError) as error:
            raise SchemaError(f"record {row} does not fit schema {schema['name']}: {error}") from error
        sizes[row] = out.tell() - before
    return sizes, out.getvalue()


def decode_each(writer: Any, reader: Any, sizes: npt.NDArray[np.uint32], data: bytes) -> list[dict[str, Any]]:
    """Decode datums one by one with the writer's schema, projected to the reader's."""
    import fastavro

    ends = np.cumsum(sizes, dtype=np.int64)
    cut = [data[end - size : end] for end, size in zip(ends.tolist(), sizes.tolist(), strict=True)]
    return [fastavro.schemaless_reader(io.BytesIO(datum), writer, reader) for datum in cut]  # type: ignore[misc]
