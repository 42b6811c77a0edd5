"""`Window`: which records of the log are first copies, as the writer decides it, without asking the writer's store.

A copy is a duplicate only of a copy at a *lower position*. The window maps an identity to its first position, so a
record that is read again (a hole, a restart) gets the same answer as the first time. It forgets an identity only below
the offsets of a snapshot that was seen; from then on the mark sends such ids to the table, which counts only rows
below the record's own position.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from k2core.admission.holes import HoleLedger
from k2core.interfaces.broker import Offsets, Partition
from k2core.interfaces.dedup import StoredIdentities
from k2core.interfaces.identities import IdentityBatch, Stream, number_of
from k2core.interfaces.shed import Shed
from k2core.query.copies import Copies
from k2core.query.held import NEVER, Held
from k2core.records.topics import Topic

Longs = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Lookup = Callable[[IdentityBatch], npt.NDArray[np.bool_]]
FEW = 32
"""Records of a partition up to which `_all_new` is tried."""

SPANS = 8
"""A window forgets in steps of an eighth of its length."""


class Window:
    """Identities of one data type, over all partitions that a tail follows. One thread at a time.

    Args:
        length_us: Identities appended longer ago may be forgotten, once committed.
    """

    def __init__(self, length_us: int) -> None:
        self._length, self._span = length_us, max(1, length_us // SPANS)
        self._held: dict[Partition, dict[tuple[Stream, str], Held]] = {}
        self._marks: dict[Partition, dict[Stream, int]] = {}
        self.copies = Copies()

    def __len__(self) -> int:
        return sum(len(h) for streams in self._held.values() for h in streams.values())

    def warm(
        self, partition: Partition, stored: StoredIdentities, now_us: int, ledger: HoleLedger | None = None
    ) -> None:  # fmt: skip
        """Hold what the table has of the window, and the marks of everything older, for one partition.

        Args:
            partition: Which.
            stored: The table's identities.
            now_us: The window ends here.
            ledger: Told of them too, where ids of the partition are contiguous; None where they are not.
        """
        since = now_us - self._length
        self._marks[partition] = dict(stored.marks(partition, since))
        seen = []
        for batch in stored.load(partition, since):
            if ledger is not None:
                seen.append(batch)
            for group in _groups(batch):
                order = np.argsort(batch.offsets[group.at], kind="stable")
                self._hold(batch, group.pick(order))
        if ledger is not None:
            for stream, mark in self._marks[partition].items():
                ledger.start_at(stream, mark)
            ledger.note(*seen)  # together: files of a table do not follow one another by id

    def first_copies(self, batch: IdentityBatch, lookup: Lookup, *, learn: bool = True) -> npt.NDArray[np.bool_]:
        """Which records (bool[n]) are the first copy of their identity.

        Args:
            batch: Records of one partition, offsets rising.
            lookup: Which identities the table holds below the batch's own offsets.
            learn: Whether to hold the new ones; False where a hole is read again.
        """
        if learn and len(batch) <= FEW and self._all_new(batch):
            return np.ones(len(batch), bool)
        fresh = np.ones(len(batch), bool)
        unsure = np.zeros(len(batch), bool)
        groups = list(_groups(batch))
        for group in groups:
            own, held = batch.offsets[group.at], self._first(batch.partition, group)
            new = np.minimum(held, _first_here(group.keys, own)) >= own
            fresh[group.at] = new
            if learn and not new.all():
                self._note_copies(batch.partition, group, held, own, new)
            unsure[group.at] = new & (held != own) & self._below_mark(batch, group)
        if unsure.any():
            fresh[unsure] = ~lookup(batch.where(unsure))
        if learn:
            for group in groups:
                self._hold(batch, group.pick(fresh[group.at]))
        return fresh

    def highest(self) -> dict[Stream, int]:
        """Per stream of numbers, the largest id that is held or marked."""
        found: dict[Stream, int] = {}
        for partition, streams in self._held.items():
            for (stream, space), held in streams.items():
                if space == "int64":
                    found[stream] = max(held.largest, self._marks.get(partition, {}).get(stream, -1))
        return found

    def forget_shed(self, ranges: Sequence[Shed]) -> None:
        """Records of these ranges were shed: their identities were never had."""
        for one in ranges:
            names = one.names
            for (stream, _), held in self._held.get(one.place, {}).items():
                if stream.symbol in names and stream.exchange == Topic.parse(one.topic).exchange:
                    held.drop(one.first_offset, one.next_offset)

    def forget(self, now_us: int, below: Offsets) -> None:
        """Forget what left the window before `now_us`, only below the offsets `below` of a snapshot that was seen."""
        for partition, streams in self._held.items():
            marks = self._marks.setdefault(partition, {})
            for (stream, space), held in list(streams.items()):
                mark = held.forget(now_us - self._length, below.get(partition, 0))
                if mark >= 0:
                    marks[stream] = max(mark, marks.get(stream, -1))
                if not len(held):
                    del streams[stream, space]

    def _note_copies(self, partition: Partition, group: _Group, held: Longs, own: Longs, new: Mask) -> None:
        first = np.minimum(held, _first_here(group.keys, own))
        self.copies.note(partition, group.stream.symbol, first[~new])

    def _all_new(self, batch: IdentityBatch) -> bool:
        """Whether each number lies above all that its stream has had, as nearly always; they are then held.

        A poll brings a few records of each partition: plain Python is many times as fast as numpy on those.
        """
        if batch.kind == "opaque" or batch.ids.dtype.kind != "i" or not len(batch):
            return False
        marks = self._marks.get(batch.partition, {})
        streams = self._held.setdefault(batch.partition, {})
        found: dict[int, tuple[list[int], list[int], list[int]]] = {}
        highest: dict[int, int] = {}
        rows = (batch.stream.tolist(), batch.ids.tolist(), batch.offsets.tolist(), batch.timestamps_us.tolist())
        for code, number, offset, at_us in zip(*rows, strict=True):
            if code not in found:
                stream = batch.streams[code]
                held = streams.get((stream, "int64"))
                highest[code] = max(marks.get(stream, -1), held.largest if held is not None else -1)
                found[code] = [], [], []
            if number <= highest[code]:
                return False
            highest[code] = number
            for column, value in zip(found[code], (number, offset, at_us), strict=True):
                column.append(value)
        for code, (numbers, offsets, times_us) in found.items():
            held = streams.setdefault((batch.streams[code], "int64"), Held("int64", self._span))
            held.add_few(numbers, offsets, times_us, numbers[-1])
        return True

    def _first(self, partition: Partition, group: _Group) -> npt.NDArray[np.int64]:
        held = self._held.get(partition, {}).get((group.stream, group.space))
        return held.first(group.keys) if held is not None else np.full(len(group.keys), NEVER, np.int64)

    def _below_mark(self, batch: IdentityBatch, group: _Group) -> npt.NDArray[np.bool_] | bool:
        """Which ids may be in the table although they are not held."""
        mark = self._marks.get(batch.partition, {}).get(group.stream, -1)
        if batch.kind == "opaque":
            return True if batch.event_time == "received" else batch.order_ms[group.at] <= mark
        # A text among numbers has no place in their order: only the table can tell.
        return group.keys <= mark if group.space == "int64" else True

    def _hold(self, batch: IdentityBatch, group: _Group) -> None:
        if not len(group.at):
            return
        streams = self._held.setdefault(batch.partition, {})
        held = streams.get((group.stream, group.space))
        if held is None:
            held = streams[group.stream, group.space] = Held(group.space, self._span)
        by_id = batch.kind != "opaque" and group.space == "int64"
        mark = int((group.keys if by_id else batch.order_ms[group.at]).max())
        held.add(group.keys, batch.offsets[group.at], batch.timestamps_us[group.at], mark)


class _Group:
    """Records of one stream within a batch: their places `at`, and their ids as keys of one space."""

    def __init__(self, stream: Stream, space: str, at: npt.NDArray[np.intp], keys: npt.NDArray[Any]) -> None:
        self.stream, self.space, self.at, self.keys = stream, space, at, keys

    def pick(self, which: npt.NDArray[Any]) -> _Group:
        """Some of them, by mask or index."""
        return _Group(self.stream, self.space, self.at[which], self.keys[which])


def _groups(batch: IdentityBatch) -> Iterator[_Group]:
    if not len(batch):
        return
    order = np.argsort(batch.stream, kind="stable")
    cuts = np.flatnonzero(np.diff(batch.stream[order])) + 1
    for at in np.split(order, cuts):
        stream = batch.streams[int(batch.stream[at[0]])]
        if batch.ids.dtype.kind == "i":
            yield _Group(stream, "int64", at, batch.ids[at])
            continue
        texts = batch.ids[at]
        number = np.fromiter((number_of(t) is not None for t in texts), bool, len(texts))
        if number.any():
            yield _Group(stream, "int64", at[number], np.array([int(t) for t in texts[number]], np.int64))
        if not number.all():
            yield _Group(stream, "S16", at[~number], np.array([_hash(t) for t in texts[~number]], "S16"))


def _first_here(keys: npt.NDArray[Any], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Offset of the first copy within the batch."""
    if len(keys) == 1 or (keys[1:] > keys[:-1]).all():
        return offsets
    _, first, back = np.unique(keys, return_index=True, return_inverse=True)
    found: npt.NDArray[np.int64] = offsets[first][back]
    return found


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
