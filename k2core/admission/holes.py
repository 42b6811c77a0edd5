"""`HoleLedger`: which ids of a contiguous stream were seen, so that what is absent can be counted and named.

A hole opens when ids jump; late and backfilled ids close it or cut it in two. Counting starts at the first id seen
(or at what the table has, see `start_at`): what lies before is not judged.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from k2core.interfaces.broker import Partition
from k2core.interfaces.identities import IdentityBatch, Stream

Longs = npt.NDArray[np.int64]

FEW = 32
"""Ids up to which plain Python is faster than numpy."""


@dataclass(frozen=True, slots=True, order=True)
class Hole:
    """Ids `first` … `last`, both inclusive, of one symbol that never came."""

    exchange: str
    symbol: str
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1


@dataclass(slots=True)
class _Seen:
    """One stream: every id up to `high` was seen, but for the holes; `missing` counts also holes no longer kept."""

    high: int
    firsts: list[int] = field(default_factory=list)
    lasts: list[int] = field(default_factory=list)
    missing: int = 0


class HoleLedger:
    """Holes of every contiguous stream of one data type.

    Args:
        max_holes: Holes that are kept by name in one stream; more are only counted, the oldest first.
    """

    def __init__(self, max_holes: int = 10_000) -> None:
        self._max = max_holes
        self._streams: dict[Stream, _Seen] = {}
        self._fresh: list[Hole] = []
        self._places: dict[Stream, Partition] = {}

    def start_at(self, stream: Stream, seen: int, partition: Partition | None = None) -> None:
        """Judge a stream from an id on that the table has; of no effect once ids of the stream were noted."""
        self._streams.setdefault(stream, _Seen(seen))
        if partition is not None:
            self._places[stream] = partition

    def forget(self, partitions: Collection[Partition]) -> None:
        """Partitions that somebody else judges from now on."""
        for stream in [s for s, place in self._places.items() if place in partitions]:
            del self._places[stream], self._streams[stream]
        self._fresh = [hole for hole in self._fresh if Stream(hole.exchange, hole.symbol) in self._streams]

    def note(self, *batches: IdentityBatch) -> None:
        """Note ids: duplicates, late and unordered ones are fine. Kinds other than contiguous are ignored."""
        found: dict[Stream, list[Longs]] = {}
        for batch in batches:
            if batch.kind != "contiguous" or batch.ids.dtype.kind != "i" or not len(batch):
                continue
            if len(batch) <= FEW and self._all_next(batch):
                continue
            numbers: Longs = batch.ids.astype(np.int64, copy=False)
            for k, stream in enumerate(batch.streams):
                ids = numbers if len(batch.streams) == 1 else numbers[batch.stream == k]
                if len(ids):
                    self._places[stream] = batch.partition
                    found.setdefault(stream, []).append(ids)
        for stream, parts in found.items():
            self._note(stream, parts[0] if len(parts) == 1 else np.concatenate(parts))

    def _all_next(self, batch: IdentityBatch) -> bool:
        """Note a few ids that each follow the last one of their stream; False, and nothing noted, where one does not."""
        high: dict[int, int] = {}
        for code, number in zip(batch.stream.tolist(), batch.ids.tolist(), strict=True):
            if code not in high:
                seen = self._streams.get(batch.streams[code])
                if seen is None:
                    return False
                high[code] = seen.high
            if number != high[code] + 1:
                return False
            high[code] = number
        for code, number in high.items():
            self._streams[batch.streams[code]].high = number
        return True

    def _note(self, stream: Stream, ids: Longs) -> None:
        seen = self._streams.get(stream)
        rising = bool((np.diff(ids) == 1).all())
        if seen is None:
            seen = self._streams[stream] = _Seen(int(ids[0] if rising else ids.min()) - 1)
        if rising and ids[0] == seen.high + 1:
            seen.high = int(ids[-1])
            return
        ids = np.unique(ids)
        cut = int(np.searchsorted(ids, seen.high, side="right"))
        for number in ids[:cut].tolist() if seen.firsts else ():
            _fill(seen, number)
        if cut < len(ids):
            self._rise(stream, seen, ids[cut:])

    def _rise(self, stream: Stream, seen: _Seen, ids: Longs) -> None:
        """Ids above the highest: every jump opens a hole."""
        before = np.concatenate([[seen.high], ids[:-1]])
        for k in np.flatnonzero(ids - before > 1).tolist():
            hole = Hole(stream.exchange, stream.symbol, int(before[k]) + 1, int(ids[k]) - 1)
            seen.firsts.append(hole.first)
            seen.lasts.append(hole.last)
            seen.missing += len(hole)
            self._fresh.append(hole)
        seen.high = int(ids[-1])
        del seen.firsts[: -self._max], seen.lasts[: -self._max], self._fresh[: -self._max]

    def missing(self) -> list[Hole]:
        """Every hole that is kept by name, in order."""
        return sorted(
            Hole(stream.exchange, stream.symbol, first, last)
            for stream, seen in self._streams.items()
            for first, last in zip(seen.firsts, seen.lasts, strict=True)
        )

    def totals(self) -> dict[str, int]:
        """Ids that are missing, by exchange."""
        found: dict[str, int] = {}
        for stream, seen in self._streams.items():
            found[stream.exchange] = found.get(stream.exchange, 0) + seen.missing
        return found

    def fresh(self) -> list[Hole]:
        """Holes that opened since the last call and are open still, as they are now."""
        opened, self._fresh = self._fresh, []
        return [now for hole in opened for now in self._remains(hole)]

    def _remains(self, hole: Hole) -> list[Hole]:
        seen = self._streams[Stream(hole.exchange, hole.symbol)]
        at = max(0, bisect_right(seen.firsts, hole.first) - 1)
        found = []
        while at < len(seen.firsts) and seen.firsts[at] <= hole.last:
            if seen.lasts[at] >= hole.first:
                found.append(Hole(hole.exchange, hole.symbol, seen.firsts[at], seen.lasts[at]))
            at += 1
        return found


def _fill(seen: _Seen, number: int) -> None:
    """A late id: the hole around it ends, shrinks, or becomes two."""
    at = bisect_right(seen.firsts, number) - 1
    if at < 0 or seen.lasts[at] < number:
        return
    first, last = seen.firsts[at], seen.lasts[at]
    parts = [(a, b) for a, b in ((first, number - 1), (number + 1, last)) if a <= b]
    seen.firsts[at : at + 1] = [a for a, _ in parts]
    seen.lasts[at : at + 1] = [b for _, b in parts]
    seen.missing -= 1
