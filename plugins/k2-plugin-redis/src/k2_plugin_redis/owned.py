"""`Owned`: one partition in its owner's hands: in flight, settled in Redis, settled in memory while Redis was away.

Whatever Redis does, a claim is exact: what this owner cannot find and cannot be sure of is looked up in the table.

- Attached: Redis holds the window; an id above all that this owner knows of its stream needs no asking.
- Detached, at the first sign of trouble: `marks` rise to all that was ever seen, so every id that memory does not hold
  and that is not above them is asked of the table. Nothing is read at that moment; what is settled from now on is in
  memory.
- Attached again: Redis's own marks rise to all that was settled meanwhile, and memory goes on holding that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from k2_plugin_redis.meta import raise_to
from k2_plugin_redis.remote import Asked, Remote
from k2core.plugin import (
    Claimed,
    IdentityBatch,
    InFlight,
    KeyGroup,
    KeySpace,
    KeyWindows,
    Stream,
    first_copies,
    key_groups,
)

Mask = npt.NDArray[np.bool_]


class Owned:
    """One partition.

    Args:
        remote: Its part of Redis.
        offset: The table's next offset.
        span_us: Length of a slot of what memory holds.
    """

    def __init__(self, remote: Remote, offset: int, span_us: int) -> None:
        self.remote, self.offset, self._span = remote, offset, span_us
        self.attached = False
        self.marks: dict[Stream, int] = {}
        self.tops: dict[Stream, int] = {}
        self.shape = ""
        self._local = KeyWindows(span_us)
        self._flight = InFlight()

    @property
    def entries(self) -> int:
        """Entries held in memory, of 8 to 16 bytes each."""
        return self._local.entries

    @property
    def oldest(self) -> int | None:
        """Number of the oldest slot in memory."""
        return self._local.oldest

    def load(self, batch: IdentityBatch) -> None:
        """Hold in memory what the table has."""
        self.shape = _shape(batch)
        for group in key_groups(batch):
            self._hold(group.space, group.keys, group.of(batch.timestamps_us), group.mark_keys)

    def reshaped(self, batch: IdentityBatch) -> bool:
        """Whether Redis holds ids under another declaration, so that its marks mean something else."""
        return self.attached and self.remote.meta.shape not in ("", _shape(batch))

    def raise_marks(self, marks: dict[Stream, int]) -> None:
        """What is stored and not held lies at or below these."""
        raise_to(self.marks, marks)
        raise_to(self.tops, marks)

    def detach(self) -> None:
        """Do without Redis from now on."""
        self.attached = False
        self.raise_marks(self.tops)

    def candidates(self, batch: IdentityBatch) -> Iterator[tuple[KeyGroup, Mask]]:
        """Each group of a batch, and which of it memory cannot answer for: neither known here nor certainly new.

        A group that rises above everything known of its stream is left out: all of it is new.
        """
        for group in key_groups(batch):
            keys, top = group.keys, self.tops.get(group.space.stream, -1)
            if group.space.ordered and keys[0] > top and bool((keys[1:] > keys[:-1]).all()):
                yield group, np.zeros(0, bool)
                continue
            fresh = first_copies(keys)
            asked = keys[fresh]
            fresh[fresh] = ~(self._flight.has(group.space, asked) | self._local.has(group.space, asked))
            yield group, fresh

    def claim(
        self, batch: IdentityBatch, ask: Callable[[list[Asked]], list[Mask]], lookup: Callable[..., Mask]
    ) -> Mask:
        """Which records are new; those are in flight from now on.

        Args:
            batch: The records.
            ask: Asks Redis which keys it holds; may call `detach`.
            lookup: Asks the table; may raise: nothing is claimed then.
        """
        self.shape = _shape(batch)
        new = np.ones(len(batch), bool)
        parts = list(self.candidates(batch))
        doubtful = [(group, fresh) for group, fresh in parts if len(fresh)]
        self._ask(doubtful, ask)
        unsure = np.zeros(len(batch), bool)
        for group, fresh in doubtful:
            where: Any = slice(None) if group.at is None else group.at
            new[where] = fresh
            unsure[where] = fresh & (group.mark_keys <= self.marks.get(group.space.stream, -1))
        if unsure.any():
            new[unsure] = ~lookup(batch.where(unsure))
        for group, _ in parts:
            self._take(group, batch, group.of(new))
        return new

    def _ask(self, doubtful: list[tuple[KeyGroup, Mask]], ask: Callable[[list[Asked]], list[Mask]]) -> None:
        if not self.attached:
            return
        open_ = [(group, fresh, self._uncertain(group, fresh)) for group, fresh in doubtful]
        open_ = [one for one in open_ if one[2].any()]
        held = ask([(group.space, group.keys[asked]) for group, _, asked in open_]) if open_ else []
        for (_, fresh, asked), found in zip(open_, held, strict=True):
            fresh[asked] = ~found

    def _uncertain(self, group: KeyGroup, fresh: Mask) -> Mask:
        if not group.space.ordered:
            return fresh
        return fresh & (group.keys <= self.tops.get(group.space.stream, -1))

    def _take(self, group: KeyGroup, batch: IdentityBatch, new: Mask) -> None:
        if new.any():
            self._flight.take(group, batch, new)
            self._raise(group.space.stream, group.mark_keys[new])

    def _raise(self, stream: Stream, mark_keys: npt.NDArray[np.int64]) -> None:
        self.tops[stream] = max(self.tops.get(stream, -1), int(mark_keys.max()))

    def landed(self, next_offset: int) -> list[Claimed]:
        """What is in flight below an offset."""
        return self._flight.below(next_offset)

    def settled(self, claims: list[Claimed], next_offset: int) -> None:
        """It is settled: in Redis where that is attached, else here."""
        if not self.attached:
            for claim in claims:
                self._hold(claim.space, claim.keys, claim.timestamps_us, claim.mark_keys)
        self._flight.drop_below(next_offset)
        self.offset = max(self.offset, next_offset)

    def abandon(self, first_offset: int) -> None:
        """What is in flight at or above an offset never happened."""
        self._flight.abandon(first_offset)

    def _hold(
        self, space: KeySpace, keys: npt.NDArray[Any], stamps: npt.NDArray[np.int64], marks: npt.NDArray[np.int64]
    ) -> None:
        self._local.add(space, keys, stamps, marks)
        self._raise(space.stream, marks)

    def forget(self, before_slot: int) -> None:
        """Forget slots of memory below a number; the marks rise in the same step."""
        self.raise_marks(self._local.forget(before_slot))

    def evict(self, before_slot: int) -> None:
        """Forget slots of Redis below a number.

        Raises:
            AwayError: Redis cannot be relied on.
        """
        if self.attached:
            self.raise_marks(self.remote.evict(before_slot))

    def start_anew(self) -> None:
        """Forget all that memory holds of settled identities, marks with it: it is to be built anew."""
        self.marks, self.tops, self._local = {}, {}, KeyWindows(self._span)


def _shape(batch: IdentityBatch) -> str:
    return f"{batch.kind}/{batch.event_time}"
