"""`Held`: the ids of one stream that a window holds, each with the position of its first copy.

About 16 bytes an id: a small dictionary takes the newest, sorted runs of numpy arrays hold the rest. Runs are cut by
time, so that forgetting drops whole runs; what was forgotten is told as one number, the largest mark key.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
        self._largest: int | None = None

    def __len__(self) -> int:
        return len(self._recent) + sum(len(r.keys) for r in self._runs)

    @property
    def largest(self) -> int:
        """The largest number ever held, -1 where none was."""
        return -1 if self._largest is None else self._largest

    def first(self, keys: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Offset of each id's first copy (int64[n]), `NEVER` where it is not held."""
        found = np.full(len(keys), NEVER, np.int64)
        if self._largest is None or (self._dtype.kind == "i" and keys.min() > self._largest):
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
        """Hold ids that are not held yet, offsets rising; `mark` is the largest mark key among them."""
        largest = int(keys.max()) if self._dtype.kind == "i" else 0
        self._largest = largest if self._largest is None else max(self._largest, largest)
        if len(keys) >= RECENT:
            self._seal()
            times = int(times_us[0]), int(times_us[-1])
            self._append(_sorted(keys, offsets, *times, int(offsets[-1]), mark))
            return
        self._keep(keys.tolist(), offsets.tolist(), (int(times_us[0]), int(times_us[-1])), mark)

    def add_few(self, numbers: list[int], offsets: list[int], times_us: list[int], mark: int) -> None:
        """As `add`, for a few rising numbers, each above all that were ever held."""
        self._largest = numbers[-1]
        self._keep(numbers, offsets, (times_us[0], times_us[-1]), mark)

    def _keep(self, keys: list[Any], offsets: list[int], times_us: tuple[int, int], mark: int) -> None:
        self._recent.update(zip(keys, offsets, strict=True))
        self._times = [min(self._times[0], times_us[0]), max(self._times[1], times_us[1])]
        self._last_offset, self._mark = max(self._last_offset, offsets[-1]), max(self._mark, mark)
        if len(self._recent) >= RECENT or self._times[1] - self._times[0] > self._span:
            self._seal()

    def forget(self, before_us: int, below: int) -> int:
        """Drop runs whose ids were all appended before `before_us` and at offsets below `below`.

        Returns:
            The largest mark key among what was dropped, -1 where nothing was.
        """
        if self._recent and self._times[1] < before_us and self._last_offset < below:
            self._seal()
        gone = [r for r in self._runs if r.last_us < before_us and r.last_offset < below]
        self._runs = [r for r in self._runs if r.last_us >= before_us or r.last_offset >= below]
        return max((r.mark for r in gone), default=-1)

    def drop(self, first: int, following: int) -> None:
        """Drop ids whose first copy lies at one of these offsets, as if it had never been."""
        self._recent = {key: at for key, at in self._recent.items() if not first <= at < following}
        runs = []
        for run in self._runs:
            keep = (run.offsets < first) | (run.offsets >= following)
            if keep.all():
                runs.append(run)
            elif keep.any():
                runs.append(replace(run, keys=run.keys[keep], offsets=run.offsets[keep]))
        self._runs = runs

    def _seal(self) -> None:
        if not self._recent:
            return
        keys = np.array(list(self._recent), self._dtype)
        offsets = np.fromiter(self._recent.values(), np.int64, len(keys))
        (first_us, last_us), last, mark = self._times, self._last_offset, self._mark
        self._recent, self._times, self._last_offset, self._mark = {}, [NEVER, -1], -1, -1
        self._append(_sorted(keys, offsets, first_us, last_us, last, mark))

    def _append(self, run: _Run) -> None:
        """Keep a run; the newest runs become one where there are many of like size and one span holds them."""
        self._runs.append(run)
        while True:
            size, start = len(self._runs[-1].keys), len(self._runs)
            while start and len(self._runs[start - 1].keys) < 2 * size:
                start -= 1
            last = self._runs[start:]
            if len(last) < RUNS or max(r.last_us for r in last) - min(r.first_us for r in last) > self._span:
                return
            self._runs[start:] = [_joined(last)]


def _joined(runs: list[_Run]) -> _Run:
    return _sorted(
        np.concatenate([r.keys for r in runs]),
        np.concatenate([r.offsets for r in runs]),
        min(r.first_us for r in runs),
        max(r.last_us for r in runs),
        max(r.last_offset for r in runs),
        max(r.mark for r in runs),
    )


def _sorted(keys: Any, offsets: Any, first_us: int, last_us: int, last_offset: int, mark: int) -> _Run:
    order = np.argsort(keys, kind="stable")
    return _Run(keys[order], offsets[order], first_us, last_us, last_offset, mark)
