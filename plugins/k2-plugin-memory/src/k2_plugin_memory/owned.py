"""`Owned`: the window of one partition: what is settled, what is in flight, and the marks of what was forgotten.

Faults survived here: a commit that does not land (`abandon`), a settle that fails or comes late (what is in flight
stays so until it succeeds), and ids that come again hours after they were forgotten (the mark sends them to the table).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from k2core.plugin import DedupError, IdentityBatch, InFlight, KeyGroup, KeySpace, KeyWindows, Stream, key_groups
from k2core.plugin import first_copies as _first_copies

Mask = npt.NDArray[np.bool_]
Lookup = Callable[[IdentityBatch], Mask]


class Owned:
    """One partition.

    Args:
        offset: The table's next offset.
        marks: Per stream, the largest mark key that is stored but not loaded.
        span_us: Length of a slot of the window.
    """

    def __init__(self, offset: int, marks: dict[Stream, int], span_us: int) -> None:
        self.offset, self._marks = offset, marks
        self._held = KeyWindows(span_us)
        self._highest: dict[KeySpace, int] = {}
        self._flight = InFlight()

    @property
    def entries(self) -> int:
        """Entries held, of 8 to 16 bytes each."""
        return self._held.entries

    @property
    def oldest(self) -> int | None:
        """Number of the oldest slot."""
        return self._held.oldest

    def load(self, batch: IdentityBatch) -> None:
        """Hold what the table has."""
        for group in key_groups(batch):
            self._hold(group.space, group.keys, group.of(batch.timestamps_us), group.mark_keys)

    def claim(self, batch: IdentityBatch, lookup: Lookup) -> Mask:
        """Which records are new; those are in flight from now on. `lookup` may raise: nothing is claimed then."""
        new = np.ones(len(batch), bool)
        unsure = np.zeros(len(batch), bool)
        parts = list(key_groups(batch))
        for group in parts:
            self._judge(group, new, unsure)
        if unsure.any():
            new[unsure] = ~lookup(batch.where(unsure))
        for group in parts:
            self._raise(group.space, self._flight.take(group, batch, group.of(new)))
        return new

    def _judge(self, group: KeyGroup, new: Mask, unsure: Mask) -> None:
        where: Any = slice(None) if group.at is None else group.at
        keys, mark = group.keys, self._marks.get(group.space.stream, -1)
        rising = len(keys) == 1 or (group.space.ordered and bool((keys[1:] > keys[:-1]).all()))
        if rising and group.space.ordered and keys[0] > self._high(group.space, mark):
            return
        fresh = _first_copies(keys)
        fresh[fresh] = ~self._known(group.space, keys[fresh])
        new[where] = fresh
        unsure[where] = fresh & (group.mark_keys <= mark)

    def _high(self, space: KeySpace, mark: int) -> int:
        """Above this nothing is held, in flight or stored; only where keys rise."""
        return max(mark, self._highest.get(space, -1))

    def _known(self, space: KeySpace, keys: npt.NDArray[Any]) -> Mask:
        return self._flight.has(space, keys) | self._held.has(space, keys)

    def _raise(self, space: KeySpace, keys: npt.NDArray[Any]) -> None:
        if space.ordered and len(keys):
            self._highest[space] = max(self._highest.get(space, -1), int(keys.max()))

    def settle(self, first_offset: int, next_offset: int) -> None:
        """The commit that carries these offsets has landed.

        Raises:
            DedupError: What lies before `first_offset` was not settled yet.
        """
        if self.offset < first_offset:
            raise DedupError(f"cannot settle from offset {first_offset}: settled only up to {self.offset}")
        for claim in self._flight.below(next_offset):
            self._hold(claim.space, claim.keys, claim.timestamps_us, claim.mark_keys)
        self._flight.drop_below(next_offset)
        self.offset = max(self.offset, next_offset)

    def abandon(self, first_offset: int) -> None:
        """What is in flight at or above an offset never happened."""
        self._flight.abandon(first_offset)

    def _hold(
        self, space: KeySpace, keys: npt.NDArray[Any], stamps: npt.NDArray[np.int64], marks: npt.NDArray[np.int64]
    ) -> None:
        self._held.add(space, keys, stamps, marks)
        self._raise(space, keys)

    def forget(self, before_slot: int) -> None:
        """Forget slots below a number; the marks rise in the same step."""
        for stream, mark in self._held.forget(before_slot).items():
            self._marks[stream] = max(self._marks.get(stream, -1), mark)
