"""Sets of keys as sorted numpy arrays: intervals for ids without holes, points for the others."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


class Index(Protocol):
    """A set of keys that only grows."""

    def add(self, keys: Keys) -> None:
        """Add sorted distinct keys."""

    def has(self, keys: Keys) -> Mask:
        """Which keys are in the set."""

    def __len__(self) -> int:
        """Entries held, each of 8 to 16 bytes."""


class Intervals:
    """Numbers as disjoint intervals `low` … `high`, both inclusive: a run without holes costs 16 bytes, however long."""

    def __init__(self) -> None:
        self._low = np.zeros(0, np.int64)
        self._high = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._low)

    def add(self, keys: Keys) -> None:
        """Add sorted distinct numbers."""
        cut = np.flatnonzero(np.diff(keys) != 1)
        low, high = keys[np.r_[0, cut + 1]], keys[np.r_[cut, len(keys) - 1]]
        if len(self._low) and len(low) == 1 and low[0] == self._high[-1] + 1:
            self._high[-1] = high[0]
            return
        self._merge(np.concatenate([self._low, low]), np.concatenate([self._high, high]))

    def _merge(self, low: Keys, high: Keys) -> None:
        order = np.argsort(low, kind="stable")
        low, reach = low[order], np.maximum.accumulate(high[order])
        starts = np.r_[0, np.flatnonzero(low[1:] - reach[:-1] > 1) + 1]
        self._low, self._high = low[starts], reach[np.r_[starts[1:] - 1, len(reach) - 1]]

    def has(self, keys: Keys) -> Mask:
        """Which numbers lie in an interval."""
        if not len(self._low):
            return np.zeros(len(keys), bool)
        at = np.searchsorted(self._low, keys, side="right") - 1
        return np.asarray((at >= 0) & (keys <= self._high[np.maximum(at, 0)]), bool)


class Points:
    """Keys one by one, in sorted runs of falling length, merged as they come to be alike (a small LSM tree)."""

    def __init__(self) -> None:
        self._runs: list[Keys] = []

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def add(self, keys: Keys) -> None:
        """Add sorted distinct keys."""
        self._runs.append(keys)
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            late, early = self._runs.pop(), self._runs.pop()
            both = np.concatenate([early, late])
            # Two sorted runs: the stable sort is a merge.
            self._runs.append(both if early[-1] < late[0] else np.sort(both, kind="stable"))

    def has(self, keys: Keys) -> Mask:
        """Which keys are held."""
        found = np.zeros(len(keys), bool)
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, keys), len(run) - 1)
            found |= run[at] == keys
        return found
