"""`KeyWindow`: settled keys of one space, in slots of append time that are forgotten whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from k2core.keys.index import Index, Intervals, Points

INDEXES: dict[str, Callable[[], Index]] = {"contiguous": Intervals, "number": Points, "hash": Points}


class KeyWindow:
    """Keys by slot.

    Args:
        form: Form of the space.
        span_us: Length of a slot.
    """

    def __init__(self, form: str, span_us: int) -> None:
        self._form, self._span = form, span_us
        self._slots: dict[int, Index] = {}
        self._marks: dict[int, int] = {}

    @property
    def entries(self) -> int:
        """Entries held, of 8 to 16 bytes each."""
        return sum(len(index) for index in self._slots.values())

    @property
    def oldest(self) -> int | None:
        """Number of the oldest slot."""
        return min(self._slots, default=None)

    def add(
        self, keys: npt.NDArray[Any], timestamps_us: npt.NDArray[np.int64], mark_keys: npt.NDArray[np.int64]
    ) -> None:
        """Hold keys; those of one slot must be distinct."""
        slots = timestamps_us // self._span
        if slots.min() == slots.max():
            self._add(int(slots[0]), keys, mark_keys)
            return
        for number in np.unique(slots).tolist():
            mine = slots == number
            self._add(number, keys[mine], mark_keys[mine])

    def _add(self, slot: int, keys: npt.NDArray[Any], mark_keys: npt.NDArray[np.int64]) -> None:
        index = self._slots.get(slot)
        if index is None:
            index = self._slots[slot] = INDEXES[self._form]()
        index.add(np.unique(keys))
        self._marks[slot] = max(self._marks.get(slot, -1), int(mark_keys.max()))

    def has(self, keys: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which keys are held."""
        found = np.zeros(len(keys), bool)
        for index in self._slots.values():
            found |= index.has(keys)
        return found

    def forget(self, before_slot: int) -> int:
        """Forget slots below a number.

        Returns:
            The largest mark key among what was forgotten, or -1.
        """
        gone = [number for number in self._slots if number < before_slot]
        for number in gone:
            del self._slots[number]
        return max((self._marks.pop(number) for number in gone), default=-1)
