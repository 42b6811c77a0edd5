"""Identities of admitted rows, as columns.

Ids are int64 where every id of a part is a canonical decimal number (digits only, no leading zero, below 2**63), else
Python strings. A stream may come in both forms, in different batches (an exchange that mixes `17` and `17a`): the
canonical form of an identity is its *text*, and the number n stands for the text `str(n)`. Because the numeric form is
canonical, equal texts and equal numbers mean the same; a store that holds both forms compares through `str`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from k2core.interfaces.identities import number_of

SAFE_DIGITS = 18
"""Every number of so many digits is below 2**63."""


class Ids:
    """The ids of n rows, as numbers where they are canonical.

    Args:
        column: The id column, strings without nulls.
    """

    def __init__(self, column: Any) -> None:
        self._column = column
        self._canonical, self._numbers = _numbers(column)

    def of(self, start: int, stop: int) -> npt.NDArray[np.int64] | npt.NDArray[np.object_]:
        """Ids of the rows `start` … `stop` - 1: int64 where all are canonical numbers, else strings."""
        if self._canonical is None or self._canonical[start:stop].all():
            return self._numbers[start:stop]
        texts: npt.NDArray[np.object_] = self._column.slice(start, stop - start).to_numpy(zero_copy_only=False)
        return texts


def _numbers(column: Any) -> tuple[npt.NDArray[np.bool_] | None, npt.NDArray[np.int64]]:
    """Which ids are canonical numbers (None: all are), and the numbers (0 where not)."""
    n = len(column)
    if not n:
        return None, np.zeros(0, np.int64)
    _, offset_bytes, data = column.buffers()
    offsets = np.frombuffer(offset_bytes, np.int32)[column.offset : column.offset + n + 1]
    raw = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    lengths = np.diff(offsets)
    used = raw[offsets[0] : offsets[-1]]
    if int(lengths.max()) <= SAFE_DIGITS and int(lengths.min()) >= 1 and bool(((used >= 48) & (used <= 57)).all()):
        leading = (raw[offsets[:-1]] == 48) & (lengths > 1)
        if not leading.any():
            return None, pc.cast(column, pa.int64()).to_numpy(zero_copy_only=False)
    return _each(column)


def _each(column: Any) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    texts = column.to_pylist()
    found = [number_of(text) for text in texts]
    canonical = np.array([number is not None for number in found], bool)
    return canonical, np.array([number or 0 for number in found], np.int64)
