"""`Held`: the ids of one stream that a window holds, each with the position of its first copy.

About 16 bytes an id: a small dictionary takes the newest, sorted runs of numpy arrays hold the rest. Runs are cut by
time, so that forgetting drops whole runs; what was forgotten is told as one number, the largest mark key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

NEVER = np.iinfo(np.int64).max
"""Position of an identity that is not held: above every record's own."""

RECENT = 512
RUNS = 8
"""So many neighbouring runs of like size become one."""


@dataclass(frozen=True, slots=True)
class _Run:
    keys: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64]
    first_us: int
    last_us: int
    last_offset: int
    mark: int


class Held:
    """Ids (int64, or 128-bit hashes as `S16`) of one stream → offset of the first copy.

    Args:
        dtype: `int64` or `S16`.
        span_us: Append times that one run may span, µs: how finely `forget` cuts.
    """

    def __init__(self, dtype: str, span_us: int) -> None:
        self._dtype, self._span = np.dtype(dtype), span_us
        self._recent: dict[Any, int] = {}
        self._times = [NEVER, -1]
        self._last_offset = self._mark = -1
        self._runs: list[_Run] = []
        self._largest: Any = None

    def __len__(self) -> int:
        return len(self._recent) + sum(len(r.keys) for r in self._runs)

    def first(self, keys: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Offset of each id's first copy (int64[n]), `NEVER` where it is not held."""
        found = np.full(len(keys), NEVER, np.int64)
        if self._largest is None or keys.min() > self._largest:
            return found
        if self._recent:
            recent = self._recent
            found[:] = [recent.get(key, NEVER) for key in keys.tolist()]
        for run in self._runs:
            at = np.minimum(np.searchsorted(run.keys, keys), len(run.keys) - 1)
            hit = run.keys[at] == keys
            found[hit] = np.minimum(found[hit], run.offsets[at[hit]])
        return found

    def add(
        self, keys: npt.NDArray[Any], offsets: npt.NDArray[np.int64], times_us: npt.NDArray[np.int64], mark: int
    ) -> None:
        """Hold ids that are not held yet; `mark` is the largest mark key among them."""
        if len(keys) >= RECENT:
            self._seal()
            return self._keep(keys, offsets, times_us, mark)
        largest = keys.max() if self._dtype.kind == "i" else b"\xff" * 16
        self._largest = largest if self._largest is None else max(self._largest, largest)
        self._recent.update(zip(keys.tolist(), offsets.tolist(), strict=True))
        self._times = [min(self._times[0], int(times_us[0])), max(self._times[1], int(times_us[-1]))]
        self._last_offset, self._mark = max(self._last_offset, int(offsets[-1])), max(self._mark, mark)
        if len(self._recent) >= RECENT or self._times[1] - self._times[0] > self._span:
            self._seal()
        return None

    def forget(self, before_us: int, below: int) -> int:
        """Drop runs whose ids were all appended before `before_us` and at offsets below `below`.

        Returns:
            The largest mark key among what was dropped, -1 where nothing was.
        """
        if self._recent and self._times[1] < before_us and self._last_offset < below:
            self._seal()
        gone = [r for r in self._runs if r.last_us < before_us and r.last_offset < below]
        if gone:
            self._runs = [r for r in self._runs if r not in gone] if len(gone) < len(self._runs) else []
        return max((r.mark for r in gone), default=-1)

    def _seal(self) -> None:
        if not self._recent:
            return
        keys = np.array(list(self._recent), self._dtype)
        offsets = np.fromiter(self._recent.values(), np.int64, len(keys))
        order = np.argsort(keys, kind="stable")
        run = _Run(keys[order], offsets[order], *self._times, self._last_offset, self._mark)  # type: ignore[call-arg]
        self._recent, self._times, self._last_offset, self._mark = {}, [NEVER, -1], -1, -1
        self._runs.append(run)
        self._merge()

    def _keep(self, keys: Any, offsets: Any, times_us: Any, mark: int) -> None:
        largest = keys.max() if self._dtype.kind == "i" else b"\xff" * 16
        self._largest = largest if self._largest is None else max(self._largest, largest)
        order = np.argsort(keys, kind="stable")
        run = _Run(
            keys[order], offsets[order], int(times_us.min()), int(times_us.max()), int(offsets.max()), mark
        )  # fmt: skip
        self._runs.append(run)
        self._merge()

    def _merge(self) -> None:
        """Make the newest runs one where there are many of like size and one span holds them."""
        size = len(self._runs[-1].keys)
        start = len(self._runs)
        while start and len(self._runs[start - 1].keys) < 2 * size:
            start -= 1
        last = self._runs[start:]
        if len(last) < RUNS or max(r.last_us for r in last) - min(r.first_us for r in last) > self._span:
            return
        keys = np.concatenate([r.keys for r in last])
        order = np.argsort(keys, kind="stable")
        self._runs[start:] = [
            _Run(
                keys[order],
                np.concatenate([r.offsets for r in last])[order],
                min(r.first_us for r in last),
                max(r.last_us for r in last),
                max(r.last_offset for r in last),
                max(r.mark for r in last),
            )
        ]
