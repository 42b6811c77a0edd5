"""`TableIdentities`: which identities the table holds, read from its files without DuckDB (a writer has no memory for it).

A look-up compares ids as texts, exactly; bounds only decide which files are opened. Rows count only below the record's
own position in its own partition: another partition cannot hold the same identity. Survived: files that are deleted
while they are read (the newest snapshot has the same rows in others), a table without rows, ids of any form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2_plugin_iceberg.filelist import DAY_MS, MOST, FileList
from k2_plugin_iceberg.identities import Bound, IdentityReader
from k2_plugin_iceberg.plan import PlanCache
from k2_plugin_iceberg.prune import bucket_of
from k2_plugin_iceberg.recorded import Recorded
from k2_plugin_iceberg.spans import Sought
from k2core.plugin import (
    ChannelFacts,
    DataType,
    IdentityBatch,
    Partition,
    QueryError,
    Snapshot,
    StoredIdentities,
    Stream,
    Topic,
)

ATTEMPTS = 3
T = TypeVar("T")
Mask = npt.NDArray[np.bool_]
Longs = npt.NDArray[np.int64]


class TableIdentities(StoredIdentities):
    """Identities of one table. Any number of threads.

    Args:
        plan: Snapshots and files.
        data_type: Whose rows.
        snapshot: Look at this one only; None for the newest as of each call.
        facts: What connectors declare, by topic or exchange. Of others nothing is taken for granted: `load` says
            `opaque`, and `marks` are so large that every id is looked up, which is exact and slow.
    """

    def __init__(
        self,
        plan: PlanCache,
        data_type: DataType,
        *,
        snapshot: Snapshot | None = None,
        facts: Mapping[str, ChannelFacts] | None = None,
    ) -> None:
        self._plan, self._data_type, self._snapshot = plan, data_type, snapshot
        self._facts = dict(facts or {})
        self._reader = IdentityReader(data_type)

    def declared(self, facts: Mapping[str, ChannelFacts]) -> TableIdentities:
        """The same table, knowing what connectors declare (by topic or exchange)."""
        return TableIdentities(self._plan, self._data_type, snapshot=self._snapshot, facts={**self._facts, **facts})

    def contains(self, batch: IdentityBatch) -> Mask:
        """Which of these identities are stored below the batch's own offsets (bool[n])."""
        if not len(batch) or self._data_type.id_column is None:
            return np.zeros(len(batch), bool)
        return self._retried(lambda snapshot: self._contained(batch, snapshot))

    def load(self, partition: Partition, since_us: int) -> Iterator[IdentityBatch]:
        """Identities of the rows of one partition with an append time ≥ `since_us`, one file at a time."""
        facts, seen = self._of(partition[0]), np.empty(0, np.int64)
        for tries in range(ATTEMPTS):
            snapshot = self._at(swept=tries > 0)
            bound = Bound(partition, since_us, MOST, snapshot.offsets.get(partition, 0))
            try:
                for path in self._appended(snapshot, bound).path:
                    batch = self._reader.batch(path, bound, facts or ChannelFacts(ids="opaque"))
                    if batch is not None and len(seen):  # a compacted file repeats what was given out already
                        batch = batch.where(~np.isin(batch.offsets, seen))
                    if batch is not None and len(batch):
                        seen = np.concatenate([seen, batch.offsets])
                        yield batch
                return
            except (FileNotFoundError, QueryError) as error:
                if isinstance(error, QueryError) and error.kind != "snapshot-gone":
                    raise
                if tries + 1 == ATTEMPTS:
                    raise self._unreadable(error) from error

    def marks(self, partition: Partition, before_us: int) -> dict[Stream, int]:
        """Per stream with rows appended before `before_us`: at least the largest mark key among them."""
        facts = self._of(partition[0])
        return self._retried(lambda snapshot: self._marked(partition, before_us, snapshot, facts))

    def _of(self, topic: str) -> ChannelFacts | None:
        found = self._facts.get(topic)
        return found if found is not None else self._facts.get(Topic.parse(topic).exchange)

    def _at(self, *, swept: bool = False) -> Snapshot:
        """The snapshot to look at; one whose files are gone is stood for by the newest, cut to its offsets."""
        pinned, newest = self._snapshot, self._plan.newest()
        if pinned is None:
            return newest
        if not swept or pinned.id is None:
            return pinned
        if not self._plan.contains_snapshot(pinned.id):
            raise self._plan.gone(pinned.id)
        return replace(newest, offsets=pinned.offsets)

    def _retried(self, read: Callable[[Snapshot], T]) -> T:
        missing: Exception = FileNotFoundError()
        for tries in range(ATTEMPTS):
            try:
                return read(self._at(swept=tries > 0))
            except FileNotFoundError as error:
                missing = error
            except QueryError as error:
                if error.kind != "snapshot-gone":
                    raise
                missing = error
        raise self._unreadable(missing) from missing

    def _unreadable(self, error: Exception) -> QueryError:
        return QueryError(
            f"identities of table {self._data_type.table} cannot be read, its files vanish: {error}",
            kind="table-unreadable",
            status=500,
        )

    def _contained(self, batch: IdentityBatch, snapshot: Snapshot) -> Mask:
        ids = _texts(batch)
        encoded = ids.dictionary_encode()
        distinct, codes = encoded.dictionary, encoded.indices.to_numpy().astype(np.int64)
        bound = Bound(batch.partition, -MOST, MOST, int(min(batch.offsets.max(), _end(snapshot, batch.partition))))
        found_keys, found_offsets = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        streams = {stream: at for at, stream in enumerate(batch.streams)}
        sought = Sought(batch) if batch.ids.dtype.kind == "i" else None
        files = self._holding(batch, snapshot, bound)
        for path, recorded in zip(files.path, files.recorded, strict=True):
            if sought is not None and not self._may_hold(sought, path, recorded, batch.partition):
                continue
            rows = self._reader.matching(path, distinct, bound)
            if rows is None:
                continue
            at = np.array([streams.get(s, -1) for s in rows.streams], np.int64)[rows.stream]
            mine = at >= 0
            found_keys.append(at[mine] * len(distinct) + rows.codes[mine])
            found_offsets.append(rows.offsets[mine])
        wanted = batch.stream.astype(np.int64) * len(distinct) + codes
        return _lower(wanted, batch.offsets, np.concatenate(found_keys), np.concatenate(found_offsets))

    def _may_hold(self, sought: Sought, path: str, recorded: Recorded | None, partition: Partition) -> bool:
        if recorded is not None and recorded.numbers is not None:
            return sought.may_lie_in(recorded)
        return sought.meets(self._plan.spans.of(path, partition, recorded, by_id=True))

    def _holding(self, batch: IdentityBatch, snapshot: Snapshot, bound: Bound) -> FileList:
        """Files that may hold any of the identities."""
        files = self._plan.files(snapshot)
        mask = _in_partition(files, bound)
        buckets = [bucket_of(s.symbol) for s in batch.streams]
        mask &= np.isin(files.bucket, [-1, *buckets])
        if batch.event_time == "exchange":
            mask &= np.isin(files.date, [-1, *np.unique(batch.order_ms // DAY_MS).tolist()])
        left = files.take(np.flatnonzero(mask))
        low, high = min(s.symbol for s in batch.streams), max(s.symbol for s in batch.streams)
        return left.take(((left.symbol_lo <= high) & (left.symbol_hi >= low)).astype(bool))

    def _appended(self, snapshot: Snapshot, bound: Bound) -> FileList:
        files = self._plan.files(snapshot)
        mask = _in_partition(files, bound)
        return files.take(mask & (files.appended_hi >= bound.since_us) & (files.appended_lo < bound.before_us))

    def _marked(
        self, partition: Partition, before_us: int, snapshot: Snapshot, facts: ChannelFacts | None
    ) -> dict[Stream, int]:
        marks: dict[Stream, int] = {}
        bound = Bound(partition, -MOST, MOST if facts is None else before_us, _end(snapshot, partition))
        files = self._appended(snapshot, bound)
        # In a file of several topics the bounds of offsets say nothing of this one; too large a mark is safe.
        several = np.array([low != high for low, high in zip(files.topic_lo, files.topic_hi, strict=True)], bool)
        whole = (files.appended_hi < bound.before_us) & (several | (files.offset_hi < bound.end))
        for path, recorded, all_of_it in zip(files.path, files.recorded, whole.tolist(), strict=True):
            found = self._marks_of(path, recorded, all_of_it, bound, facts)
            for stream, mark in found.items():
                marks[stream] = max(mark, marks.get(stream, -1))
        return dict.fromkeys(marks, MOST) if facts is None else marks

    def _marks_of(
        self, path: str, recorded: Recorded | None, whole: bool, bound: Bound, facts: ChannelFacts | None
    ) -> dict[Stream, int]:
        """Marks of one file; of all of its rows, as far as nobody asked for fewer."""
        by_id = facts is not None and facts.ids != "opaque"
        spans = self._plan.spans.of(path, bound.partition, recorded, by_id=by_id) if whole else None
        if spans is None:
            spans = self._reader.spans(path, bound, by_id=by_id)
        return {stream: most for stream, (_, most) in spans.items()}


def _texts(batch: IdentityBatch) -> Any:
    if batch.ids.dtype.kind == "i":
        return pa.array(batch.ids).cast(pa.string())
    return pa.array(batch.ids, pa.string())


def _end(snapshot: Snapshot, partition: Partition) -> int:
    return snapshot.offsets.get(partition, 0)


def _in_partition(files: FileList, bound: Bound) -> Mask:
    """Files that may hold rows of a partition below an offset."""
    topic, number = bound.partition
    mask = (files.partition_lo <= number) & (files.partition_hi >= number) & (files.offset_lo < bound.end)
    at = np.flatnonzero(mask)
    mask[at] = ((files.topic_lo[at] <= topic) & (files.topic_hi[at] >= topic)).astype(bool)
    found: Mask = mask
    return found


def _lower(wanted: Longs, offsets: Longs, keys: Longs, at: Longs) -> Mask:
    """Which wanted keys were found at a lower offset than their own."""
    if not len(keys):
        return np.zeros(len(wanted), bool)
    order = np.lexsort((at, keys))
    keys, at = keys[order], at[order]
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    mask: Mask = (keys[place] == wanted) & (at[place] < offsets)
    return mask
