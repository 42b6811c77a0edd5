"""`RowFrames`: rows of a file as frames: columns for who reads them in bulk, bytes for the dead letter of one row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True, slots=True, eq=False)
class RowFrames(Sequence[bytes]):
    """Consecutive rows. A slice of it is one as well.

    Args:
        rows: The wanted columns as texts.
        ids: Made ids, one a row; None where the file has its own.
        broken: By index, reason and detail of rows without fields.
        texts: By index, broken rows as they stand in the file.
    """

    rows: pa.RecordBatch
    ids: npt.NDArray[np.object_] | None = None
    broken: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    texts: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> RowFrames: ...
    def __getitem__(self, at: int | slice) -> bytes | RowFrames:
        if isinstance(at, int):
            return self.texts[at].encode() if at in self.texts else self._json(at)
        start, stop, _ = at.indices(len(self))
        return RowFrames(
            self.rows.slice(start, max(0, stop - start)),
            None if self.ids is None else self.ids[start:stop],
            {k - start: v for k, v in self.broken.items() if start <= k < stop},
            {k - start: v for k, v in self.texts.items() if start <= k < stop},
        )

    def _json(self, at: int) -> bytes:
        cells = {name: self.rows.column(name)[at].as_py() for name in self.rows.schema.names}
        return json.dumps(cells, ensure_ascii=False).encode()
