"""`InFlight`: what an owner has claimed and not yet settled, of one partition.

Faults survived here: a commit that does not land (`abandon`), and a settle that fails or comes late (what is in flight
stays so until `drop_below`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from k2core.interfaces.identities import IdentityBatch
from k2core.keys.groups import KeyGroup, KeySpace
from k2core.keys.index import Index
from k2core.keys.window import INDEXES

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Claimed:
    """Claimed keys of one space with their log offsets (rising), append times and mark keys."""

    space: KeySpace
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


class InFlight:
    """Claims of one partition, in log order."""

    def __init__(self) -> None:
        self._claims: list[Claimed] = []
        self._index: dict[KeySpace, Index] = {}
        self._unindexed = 0

    def take(self, group: KeyGroup, batch: IdentityBatch, new: Mask) -> npt.NDArray[Any]:
        """Claim those of a group that are new.

        Returns:
            Their keys.
        """
        columns = (group.keys, group.of(batch.offsets), group.of(batch.timestamps_us), group.mark_keys)
        taken = columns if new.all() else tuple(column[new] for column in columns)
        if len(taken[0]):
            self._claims.append(Claimed(group.space, *taken))
        return taken[0]

    def has(self, space: KeySpace, keys: npt.NDArray[Any]) -> Mask:
        """Which keys are in flight."""
        self._sort()
        index = self._index.get(space)
        return np.zeros(len(keys), bool) if index is None else index.has(keys)

    def below(self, offset: int) -> list[Claimed]:
        """What was claimed below an offset, joined by space; nothing is dropped."""
        found: dict[KeySpace, list[Claimed]] = {}
        for claim in self._split(offset)[0]:
            found.setdefault(claim.space, []).append(claim)
        return [_joined(claims) for claims in found.values()]

    def drop_below(self, offset: int) -> None:
        """What was claimed below an offset is settled."""
        self._restart(self._split(offset)[1])

    def abandon(self, offset: int) -> None:
        """What was claimed at or above an offset never happened."""
        self._restart(self._split(offset)[0])

    def _sort(self) -> None:
        """Sort what was claimed since the last time that somebody had to look."""
        found: dict[KeySpace, list[npt.NDArray[Any]]] = {}
        for claim in self._claims[self._unindexed :]:
            found.setdefault(claim.space, []).append(claim.keys)
        self._unindexed = len(self._claims)
        for space, parts in found.items():
            self._index.setdefault(space, INDEXES[space.form]()).add(np.unique(_joined_columns(parts)))

    def _split(self, offset: int) -> tuple[list[Claimed], list[Claimed]]:
        below, above = zip(*(c.split(offset) for c in self._claims), strict=True) if self._claims else ((), ())
        return [c for c in below if len(c.keys)], [c for c in above if len(c.keys)]

    def _restart(self, claims: list[Claimed]) -> None:
        self._claims, self._index, self._unindexed = claims, {}, 0


def _joined(claims: list[Claimed]) -> Claimed:
    def column(of: Callable[[Claimed], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        return _joined_columns([of(claim) for claim in claims])

    return Claimed(
        claims[0].space, column(lambda c: c.keys), column(lambda c: c.offsets),
        column(lambda c: c.timestamps_us), column(lambda c: c.mark_keys),
    )  # fmt: skip


def _joined_columns(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def first_copies(keys: npt.NDArray[Any]) -> Mask:
    """Which keys are not a copy of an earlier one of the same array."""
    first = np.zeros(len(keys), bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return first
