"""`KeyWindows`: what is settled of one partition, a window for each key space."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from k2core.interfaces.identities import Stream
from k2core.keys.flight import Mask
from k2core.keys.groups import KeySpace
from k2core.keys.window import KeyWindow


class KeyWindows:
    """Windows of one partition; those that have forgotten all they held are dropped.

    Args:
        span_us: Length of a slot, µs.
    """

    def __init__(self, span_us: int) -> None:
        self._span = span_us
        self._windows: dict[KeySpace, KeyWindow] = {}

    @property
    def entries(self) -> int:
        """Entries held, of 8 to 16 bytes each."""
        return sum(window.entries for window in self._windows.values())

    @property
    def oldest(self) -> int | None:
        """Number of the oldest slot; None where nothing is held."""
        return min((s for window in self._windows.values() if (s := window.oldest) is not None), default=None)

    def add(
        self, space: KeySpace, keys: npt.NDArray[Any], stamps: npt.NDArray[np.int64], marks: npt.NDArray[np.int64]
    ) -> None:
        """Hold keys of a space.

        Args:
            space: Whose they are.
            keys: n of them.
            stamps: When each was appended to the log, Unix µs: int64[n].
            marks: The mark key of each: int64[n].
        """
        window = self._windows.get(space)
        if window is None:
            window = self._windows[space] = KeyWindow(space.form, self._span)
        window.add(keys, stamps, marks)

    def has(self, space: KeySpace, keys: npt.NDArray[Any]) -> Mask:
        """Which of n keys are held: bool[n]."""
        window = self._windows.get(space)
        return np.zeros(len(keys), bool) if window is None else window.has(keys)

    def forget(self, before_slot: int) -> dict[Stream, int]:
        """Forget slots below a number.

        Returns:
            The largest mark key that was forgotten of each stream: the owner raises its marks to these in the same step.
        """
        marks: dict[Stream, int] = {}
        for space, window in list(self._windows.items()):
            if (mark := window.forget(before_slot)) >= 0:
                marks[space.stream] = max(marks.get(space.stream, -1), mark)
            if window.oldest is None:
                del self._windows[space]
        return marks
