"""`Owned`: the window of one partition: what is settled, what is in flight, and the marks of what was forgotten.

Faults survived here: a commit that does not land (`abandon`), a settle that fails or comes late (what is in flight
stays so until it succeeds), and ids that come again hours after they were forgotten (the mark sends them to the table).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from k2_plugin_memory.groups import Group, Space, groups
from k2_plugin_memory.held import INDEXES, Held
from k2_plugin_memory.index import Index
from k2core.plugin import DedupError, IdentityBatch, Stream

Mask = npt.NDArray[np.bool_]
Lookup = Callable[[IdentityBatch], Mask]


@dataclass(frozen=True, slots=True)
class Claimed:
    """Claimed keys of one space with their log offsets (rising), append times and mark keys."""

    space: Space
    keys: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64]
    timestamps_us: npt.NDArray[np.int64]
    mark_keys: npt.NDArray[np.int64]

    def split(self, offset: int) -> tuple[Claimed, Claimed]:
        """Those below an offset, and the rest."""
        cut = int(np.searchsorted(self.offsets, offset))
        return self._cut(slice(0, cut)), self._cut(slice(cut, None))

    def _cut(self, part: slice) -> Claimed:
        return Claimed(
            self.space, self.keys[part], self.offsets[part], self.timestamps_us[part], self.mark_keys[part]
        )  # fmt: skip


class Owned:
    """One partition.

    Args:
        offset: The table's next offset.
        marks: Per stream, the largest mark key that is stored but not loaded.
        span_us: Length of a slot of the window.
    """

    def __init__(self, offset: int, marks: dict[Stream, int], span_us: int) -> None:
        self.offset, self._span = offset, span_us
        self._marks = marks
        self._held: dict[Space, Held] = {}
        self._highest: dict[Space, int] = {}
        self._in_flight: list[Claimed] = []
        self._index: dict[Space, Index] = {}
        self._unindexed = 0

    @property
    def entries(self) -> int:
        """Entries held, of 8 to 16 bytes each."""
        return sum(held.entries for held in self._held.values())

    @property
    def oldest(self) -> int | None:
        """Number of the oldest slot."""
        return min((s for held in self._held.values() if (s := held.oldest) is not None), default=None)

    def load(self, batch: IdentityBatch) -> None:
        """Hold what the table has."""
        for group in groups(batch):
            self._hold(group.space, group.keys, group.of(batch.timestamps_us), group.mark_keys)

    def claim(self, batch: IdentityBatch, lookup: Lookup) -> Mask:
        """Which records are new; those are in flight from now on. `lookup` may raise: nothing is claimed then."""
        new = np.ones(len(batch), bool)
        unsure = np.zeros(len(batch), bool)
        parts = list(groups(batch))
        for group in parts:
            self._judge(group, new, unsure)
        if unsure.any():
            new[unsure] = ~lookup(batch.where(unsure))
        for group in parts:
            self._take(group, batch, group.of(new))
        return new

    def _judge(self, group: Group, new: Mask, unsure: Mask) -> None:
        where: Any = slice(None) if group.at is None else group.at
        keys, mark = group.keys, self._marks.get(group.space.stream, -1)
        rising = len(keys) == 1 or (group.space.ordered and bool((keys[1:] > keys[:-1]).all()))
        if rising and group.space.ordered and keys[0] > self._high(group.space, mark):
            return
        fresh = _first_copies(keys)
        fresh[fresh] = ~self._known(group.space, keys[fresh])
        new[where] = fresh
        unsure[where] = fresh & (group.mark_keys <= mark)

    def _high(self, space: Space, mark: int) -> int:
        """Above this nothing is held, in flight or stored; only where keys rise."""
        return max(mark, self._highest.get(space, -1))

    def _known(self, space: Space, keys: npt.NDArray[Any]) -> Mask:
        self._index_in_flight()
        found = np.zeros(len(keys), bool)
        if (held := self._held.get(space)) is not None:
            found |= held.has(keys)
        if (index := self._index.get(space)) is not None:
            found |= index.has(keys)
        return found

    def _index_in_flight(self) -> None:
        """Sort what was claimed since the last time that somebody had to look."""
        fresh = self._in_flight[self._unindexed :]
        self._unindexed = len(self._in_flight)
        for space, keys in _gather(fresh, lambda c: c.keys).items():
            self._index.setdefault(space, INDEXES[space.form]()).add(np.unique(keys))

    def _take(self, group: Group, batch: IdentityBatch, new: Mask) -> None:
        if not new.any():
            return
        columns = (group.keys, group.of(batch.offsets), group.of(batch.timestamps_us), group.mark_keys)
        taken = columns if new.all() else tuple(column[new] for column in columns)
        self._in_flight.append(Claimed(group.space, *taken))
        self._raise(group.space, taken[0])

    def _raise(self, space: Space, keys: npt.NDArray[Any]) -> None:
        if space.ordered:
            self._highest[space] = max(self._highest.get(space, -1), int(keys.max()))

    def settle(self, first_offset: int, next_offset: int) -> None:
        """The commit that carries these offsets has landed.

        Raises:
            DedupError: What lies before `first_offset` was not settled yet.
        """
        if self.offset < first_offset:
            raise DedupError(f"cannot settle from offset {first_offset}: settled only up to {self.offset}")
        settled, rest = self._split(next_offset)
        stamps = _gather(settled, lambda c: c.timestamps_us)
        marks = _gather(settled, lambda c: c.mark_keys)
        for space, keys in _gather(settled, lambda c: c.keys).items():
            self._hold(space, keys, stamps[space], marks[space])
        self._restart(rest)
        self.offset = max(self.offset, next_offset)

    def abandon(self, first_offset: int) -> None:
        """What is in flight at or above an offset never happened."""
        kept, _ = self._split(first_offset)
        self._restart(kept)

    def _split(self, offset: int) -> tuple[list[Claimed], list[Claimed]]:
        below, above = zip(*(c.split(offset) for c in self._in_flight), strict=True) if self._in_flight else ((), ())
        return [c for c in below if len(c.keys)], [c for c in above if len(c.keys)]

    def _restart(self, in_flight: list[Claimed]) -> None:
        self._in_flight, self._index, self._unindexed = in_flight, {}, 0

    def _hold(
        self, space: Space, keys: npt.NDArray[Any], stamps: npt.NDArray[np.int64], marks: npt.NDArray[np.int64]
    ) -> None:
        held = self._held.get(space)
        if held is None:
            held = self._held[space] = Held(space.form, self._span)
        held.add(keys, stamps, marks)
        self._raise(space, keys)

    def forget(self, before_slot: int) -> None:
        """Forget slots below a number; the marks rise in the same step."""
        for space, held in list(self._held.items()):
            mark = held.forget(before_slot)
            if mark >= 0:
                self._marks[space.stream] = max(self._marks.get(space.stream, -1), mark)
            if held.oldest is None:
                del self._held[space]


def _first_copies(keys: npt.NDArray[Any]) -> Mask:
    first = np.zeros(len(keys), bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return first


def _gather(claimed: list[Claimed], column: Callable[[Claimed], npt.NDArray[Any]]) -> dict[Space, npt.NDArray[Any]]:
    """One column of claims, joined by space."""
    found: dict[Space, list[npt.NDArray[Any]]] = {}
    for claim in claimed:
        found.setdefault(claim.space, []).append(column(claim))
    return {space: parts[0] if len(parts) == 1 else np.concatenate(parts) for space, parts in found.items()}
