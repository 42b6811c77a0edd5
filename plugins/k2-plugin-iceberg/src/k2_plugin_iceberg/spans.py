"""`Spans`: per file and stream the least and greatest id (or event time): a look-up opens only files that span its ids.

As a rule the file's manifest tells them (`recorded.py`). Of a file that it tells nothing of, the ids are read once and
what was found is remembered: files never change.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from k2_plugin_iceberg.filelist import MOST
from k2_plugin_iceberg.identities import Bound, IdentityReader
from k2core.plugin import DataType, Partition, Stream

if TYPE_CHECKING:
    from k2_plugin_iceberg.recorded import Recorded
    from k2core.plugin import IdentityBatch

Span = tuple[int, int]


class Spans:
    """Spans of one table's files. Any number of threads.

    Args:
        data_type: Whose rows.
        remembered: So many spans, at most, are kept of what was read.
    """

    def __init__(self, data_type: DataType, remembered: int) -> None:
        self._most = remembered
        self._reader = IdentityReader(data_type)
        self._held: dict[tuple[str, Partition, bool], dict[Stream, Span]] = {}
        self._streams = 0

    def of(self, path: str, partition: Partition, recorded: Recorded | None, *, by_id: bool) -> dict[Stream, Span]:
        """Spans of the rows of a partition in one file.

        Args:
            path: The file.
            partition: Whose rows.
            recorded: What its manifest tells of it.
            by_id: Spans of ids that are numbers (an empty span where none is), or else of event times.
        """
        told = recorded.spans(partition, by_id=by_id) if recorded is not None else None
        if told is not None:
            return told
        key = (path, partition, by_id)
        found = self._held.get(key)
        if found is None:
            found = self._reader.spans(path, Bound(partition, -MOST, MOST, MOST), by_id=by_id)
            if self._streams + len(found) > self._most:  # all of them: a rare pause instead of bookkeeping at each use
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
        self._partition = batch.partition
        self._ids: dict[Stream, list[int]] = {
            s: np.sort(batch.ids[batch.stream == at]).tolist() for at, s in enumerate(batch.streams)
        }
        self._by_manifest: dict[int, list[list[int]]] = {}

    def meets(self, spans: Mapping[Stream, Span]) -> bool:
        """Whether any of the ids lies within the span of its stream."""
        return any(_within(self._ids.get(stream, []), low, high) for stream, (low, high) in spans.items())

    def may_lie_in(self, file: Recorded) -> bool:
        """As `meets`, by what is written down of a file: a look-up asks this of every file of a bucket."""
        ids = self._by_manifest.get(id(file.streams))
        if ids is None:  # all files of a manifest share its streams
            ids = [self._ids.get(s, []) if place == self._partition else [] for place, s in file.streams]
            self._by_manifest[id(file.streams)] = ids
        return any(_within(ids[stream], low, high) for stream, low, high in file.id_spans())


def _within(ids: list[int], low: int, high: int) -> bool:
    return low <= high and bisect_left(ids, low) < bisect_right(ids, high)
