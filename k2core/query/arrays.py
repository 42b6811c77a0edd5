"""Columns of Arrow tables as numpy arrays: where the two meet, so that the rest of this package stays plain."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def longs(rows: pa.RecordBatch | pa.Table, column: str) -> npt.NDArray[np.int64]:
    """An integer column without nulls; uncopied where it lies in one piece."""
    array: npt.NDArray[np.int64] = rows.column(column).to_numpy()
    return array


def doubles(rows: pa.Table, column: str) -> npt.NDArray[np.float64]:
    """A double column without nulls."""
    array: npt.NDArray[np.float64] = rows.column(column).to_numpy()
    return array


def words(rows: pa.RecordBatch | pa.Table, column: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """A string column without nulls as (distinct words, code of each row)."""
    found: Any = rows.column(column)
    if isinstance(found, pa.ChunkedArray):
        found = found.unify_dictionaries() if pa.types.is_dictionary(found.type) else found
        found = found.combine_chunks()
        found = found.chunk(0) if isinstance(found, pa.ChunkedArray) else found
    if not pa.types.is_dictionary(found.type):
        found = found.dictionary_encode()
    distinct = np.empty(len(found.dictionary), object)
    distinct[:] = found.dictionary.to_pylist()
    return distinct, found.indices.to_numpy()


def texts(rows: pa.Table, column: str) -> npt.NDArray[Any]:
    """A string column without nulls as Python strings."""
    distinct, codes = words(rows, column)
    found: npt.NDArray[Any] = distinct[codes]
    return found


def ranks(rows: pa.Table, column: str) -> npt.NDArray[np.int64]:
    """Numbers that sort as the strings of a column do."""
    distinct, codes = words(rows, column)
    found: npt.NDArray[np.int64] = np.unique(distinct, return_inverse=True)[1][codes]
    return found
