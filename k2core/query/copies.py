"""`Copies`: which records a window dropped as copies, told by the position of the first one, until that is committed.

A first one that turns out to have been shed was none: then what was dropped as its copy has to be judged again.
"""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

from k2core.interfaces.broker import Offsets, Partition
from k2core.interfaces.query import Snapshot
from k2core.interfaces.shed import ANY, Shed


def fresh_ranges(snapshot: Snapshot, seen: Offsets) -> list[Shed]:
    """Ranges with shed records that reach beyond these offsets, whatever became of them since."""
    return [one for one in snapshot.shed if one.next_offset > seen.get(one.place, 0)]


class Copies:
    """Of one window. Noted by one thread, asked by any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._firsts: dict[tuple[Partition, str], list[npt.NDArray[np.int64]]] = {}

    def note(self, partition: Partition, symbol: str, firsts: npt.NDArray[np.int64]) -> None:
        """Records were dropped; their first copies lie at these offsets."""
        with self._lock:
            self._firsts.setdefault((partition, symbol), []).append(np.unique(firsts))

    def settle(self, below: Offsets) -> None:
        """What lies below the offsets of a snapshot that was seen is judged for good."""
        with self._lock:
            for (partition, symbol), held in list(self._firsts.items()):
                found = np.unique(np.concatenate(held))
                left = found[found >= below.get(partition, 0)]
                self._firsts[partition, symbol] = [left]
                if not len(left):
                    del self._firsts[partition, symbol]

    def undone(self, snapshot: Snapshot, seen: Offsets) -> bool:
        """Whether a first one was shed: the snapshot says so of a range beyond these offsets."""
        if not self._firsts or not snapshot.shed:
            return False
        ranges = fresh_ranges(snapshot, seen)
        with self._lock:
            return any(self._within(one) for one in ranges)

    def _within(self, one: Shed) -> bool:
        names = one.names
        return any(
            bool(((held >= one.first_offset) & (held < one.next_offset)).any())
            for (partition, symbol), parts in self._firsts.items()
            if partition == one.place and (symbol in names or ANY in names)
            for held in parts
        )
