"""Which files a selection needs, and which of its predicates still have to be tested on their rows.

A file is left out only where its bounds prove that no row of it is wanted; a predicate is left out only where the bounds
prove that every row passes. Where bounds do not tell, the file is read and the predicate tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from k2_plugin_iceberg.filelist import LEAST, MOST, FileList, Longs
from k2core.plugin import Offsets, Selection, partition_of

SHORT = 64
"""Symbols up to so many characters are worth remembering the bucket of."""
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """What to read.

    Args:
        files: Those that may hold wanted rows.
        symbols: Symbols to test rows for; None for all.
        positions: Whether rows have to be tested against `below`.
        appended: Whether rows have to be tested against `as_of_us`.
        stats: How much there was and how much was left out.
    """

    files: FileList
    symbols: tuple[str, ...] | None
    positions: bool
    appended: bool
    stats: dict[str, int] = field(default_factory=dict)


def choose(files: FileList, wanted: Selection, stored: Offsets, group_rows: int) -> Chosen:
    """Files that may hold wanted rows.

    Args:
        files: Of one snapshot.
        wanted: The selection.
        stored: The snapshot's offsets: it holds nothing beyond them.
        group_rows: Rows of a row group.
    """
    symbols = _spellable(wanted.symbols)
    places = _Places(wanted.below, stored)
    mask = _by_time(files, wanted) & places.reachable(files)
    if symbols is not None:
        mask &= _in_buckets(files, symbols)
    left = files.take(np.flatnonzero(mask))
    keep = _holding(left.symbol_lo, left.symbol_hi, symbols) & _holding(
        left.exchange_lo, left.exchange_hi, wanted.exchanges
    )
    left = left if keep.all() else left.take(keep)
    appended = wanted.as_of_us is not None and bool((left.appended_hi > wanted.as_of_us).any())
    return Chosen(left, symbols, places.doubtful(left), appended, _stats(files, left, group_rows))


def bucket_of(symbol: str) -> int:
    """The bucket of a symbol; of an absurdly long one it is not remembered."""
    return partition_of(symbol) if len(symbol) <= SHORT else partition_of.__wrapped__(symbol)


def _spellable(symbols: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Distinct symbols without those that no text can spell (half of a surrogate pair)."""
    if symbols is None:
        return None
    return tuple(s for s in dict.fromkeys(symbols) if s.encode("utf-8", "ignore").decode() == s)


def _by_time(files: FileList, wanted: Selection) -> Mask:
    mask = np.ones(len(files), bool)
    if wanted.start_ms is not None:
        mask &= files.ms_hi >= _clipped(wanted.start_ms)
    if wanted.end_ms is not None:
        mask &= files.ms_lo < _clipped(wanted.end_ms)
    if wanted.after is not None:
        at = _clipped(wanted.after[0])
        mask &= files.ms_lo <= at if wanted.descending else files.ms_hi >= at
    if wanted.as_of_us is not None:
        mask &= files.appended_lo <= _clipped(wanted.as_of_us)
    return mask


def _clipped(value: int) -> int:
    return min(max(value, LEAST), MOST)


def _in_buckets(files: FileList, symbols: tuple[str, ...]) -> Mask:
    wanted = {bucket_of(s) for s in symbols}
    mask = files.bucket < 0
    for bucket in wanted:
        mask |= files.bucket == bucket
    return mask


def _holding(low: npt.NDArray[np.object_], high: npt.NDArray[np.object_], words: tuple[str, ...] | None) -> Mask:
    """Files between whose bounds any of the words lies."""
    if words is None or len(words) > SHORT:
        return np.ones(len(low), bool)
    mask = np.zeros(len(low), bool)
    for word in words:
        mask |= ((low <= word) & (high >= word)).astype(bool)
    return mask


class _Places:
    """What `below` means for files: per partition number, over all topics.

    Args:
        below: Next offsets that are wanted.
        stored: Next offsets that the snapshot holds.
    """

    def __init__(self, below: Offsets, stored: Offsets) -> None:
        size = max((p for _, p in [*below, *stored]), default=0) + 1
        self._most: Longs = np.zeros(size, np.int64)
        self._least: Longs = np.full(size, MOST, np.int64)
        for (_, partition), offset in below.items():
            self._most[partition] = max(self._most[partition], offset)
        for place, offset in stored.items():
            end = below.get(place, 0)
            if end < offset:
                self._least[place[1]] = min(self._least[place[1]], end)
        self._whole = bool((self._least == MOST).all())

    def reachable(self, files: FileList) -> Mask:
        """Files that may hold rows below the wanted offsets."""
        if self._whole:
            return np.ones(len(files), bool)
        known = self._known(files)
        most = self._most[np.where(known, files.partition_lo, 0)]
        mask: Mask = ~known | (files.offset_lo < most)
        return mask

    def doubtful(self, files: FileList) -> bool:
        """Whether any of the files may hold rows at or beyond the wanted offsets."""
        if self._whole:
            return False
        known = self._known(files)
        least = self._least[np.where(known, files.partition_lo, 0)]
        return bool((~known | (files.offset_hi >= least)).any())

    def _known(self, files: FileList) -> Mask:
        low = files.partition_lo
        mask: Mask = (low == files.partition_hi) & (low >= 0) & (low < len(self._most))
        return mask


def _stats(files: FileList, left: FileList, group_rows: int) -> dict[str, int]:
    considered, kept = _measured(files, group_rows), _measured(left, group_rows)
    return {
        "partitions": considered["partitions"],
        "partitions_pruned": considered["partitions"] - kept["partitions"],
        "files": considered["files"],
        "files_pruned": considered["files"] - kept["files"],
        "row_groups": considered["row_groups"],
        "row_groups_pruned": considered["row_groups"] - kept["row_groups"],
        "rows": considered["rows"],
        "bytes": kept["bytes"],
    }


def _measured(files: FileList, group_rows: int) -> Mapping[str, Any]:
    return {
        "partitions": len(np.unique(files.date * 1024 + files.bucket)),
        "files": len(files),
        "row_groups": int((-(-files.rows // group_rows)).sum()),
        "rows": int(files.rows.sum()),
        "bytes": int(files.size.sum()),
    }
