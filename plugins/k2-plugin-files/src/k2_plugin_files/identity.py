"""`Chain`: ids for rows of a file that has none.

What a row's id stands for: the settings that say how the file is read, and the texts of all wanted columns of all rows
up to and including it. The file's name, its columns that nobody reads and whatever follows the row do not count. So a
file imported twice, or renamed, or grown at its end, gives its rows the same ids; equal rows of one file differ; and a
file that was changed in the middle gives new ids from the change on: it is another file from there.

An id is `r{row}-{16 hex digits}`: the row's number, and 64 bits of a chained BLAKE2b digest.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

SIZE = 16


class Chain:
    """Digests of everything up to a row.

    Args:
        seed: What ids depend on besides the rows.
    """

    def __init__(self, seed: bytes) -> None:
        self.row = 0
        self._state = hashlib.blake2b(seed, digest_size=SIZE).digest()

    @property
    def digest(self) -> str:
        """Of everything up to the last row, 32 hex digits."""
        return self._state.hex()

    def extend(self, rows: pa.RecordBatch, texts: dict[int, str]) -> npt.NDArray[np.object_]:
        """Take in further rows.

        Args:
            rows: Their wanted columns.
            texts: By index, rows without fields as they stand in the file.

        Returns:
            Their ids.
        """
        cells: list[bytes] = _joined(rows).to_pylist()
        for at, text in texts.items():
            cells[at] = b"\x1d" + text.encode()
        found, state, row, blake = np.empty(len(cells), object), self._state, self.row, hashlib.blake2b
        for at, cell in enumerate(cells):
            state = blake(state + cell, digest_size=SIZE).digest()
            row += 1
            found[at] = f"r{row}-{state[:8].hex()}"
        self._state, self.row = state, row
        return found


def _joined(rows: pa.RecordBatch) -> Any:
    """One text a row: lengths keep apart what a delimiter could not."""
    parts: list[Any] = []
    cells: list[Any] = list(rows.columns)
    for column in cells:
        length = pc.fill_null(pc.utf8_length(column).cast(pa.string()), "-")
        parts += [length, pc.fill_null(column, "")]
    return pc.binary_join_element_wise(*parts, "\x1f").cast(pa.binary())
