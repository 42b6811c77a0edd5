"""`Spans`: per file and stream the least and greatest id (or event time), remembered: files never change.

A manifest bounds `sequence_num` over all symbols of a file; what a look-up needs is one symbol's. The first look-up pays
for reading a file's ids, every later one for a comparison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from k2_plugin_iceberg.filelist import MOST
from k2_plugin_iceberg.identities import Bound, IdentityReader
from k2core.plugin import DataType, Partition, Stream

if TYPE_CHECKING:
    from k2core.plugin import IdentityBatch

REMEMBERED = 100_000
Span = tuple[int, int]


class Spans:
    """Spans of one table's files. Any number of threads.

    Args:
        data_type: Whose rows.
    """

    def __init__(self, data_type: DataType) -> None:
        self._reader = IdentityReader(data_type)
        self._held: dict[tuple[str, Partition, bool], dict[Stream, Span]] = {}
        self._streams = 0

    def of(self, path: str, partition: Partition, *, by_id: bool) -> dict[Stream, Span]:
        """Spans of the rows of a partition in one file.

        Args:
            path: The file.
            partition: Whose rows.
            by_id: Spans of ids that are numbers (an empty span where none is), or else of event times.
        """
        key = (path, partition, by_id)
        found = self._held.get(key)
        if found is None:
            found = self._reader.spans(path, Bound(partition, -MOST, MOST, MOST), by_id=by_id)
            if self._streams + len(found) > REMEMBERED:  # all of them: a rare pause instead of bookkeeping at each use
                self._held, self._streams = {}, 0
            self._held[key] = found
            self._streams += len(found) + 1
        return found


class Sought:
    """The ids of a batch by stream, for comparing with spans; only where they are numbers.

    Args:
        batch: What is looked for.
    """

    def __init__(self, batch: IdentityBatch) -> None:
        self._ids = {s: np.sort(batch.ids[batch.stream == at]) for at, s in enumerate(batch.streams)}

    def meets(self, spans: dict[Stream, Span]) -> bool:
        """Whether any of the ids lies within the span of its stream."""
        for stream, ids in self._ids.items():
            low, high = spans.get(stream, (MOST, -1))
            if low <= high and np.searchsorted(ids, low) < np.searchsorted(ids, high, "right"):
                return True
        return False
