"""Batches taken apart by stream, ids as sortable keys.

A stream's ids may be numbers in one batch and texts in another. What is canonical as a number is a number here,
whatever its form; every other text is its 128-bit hash. Equal keys of one space mean equal ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from k2core.interfaces.identities import IdentityBatch, Stream, number_of

NEVER_SURE = np.iinfo(np.int64).min
"""Mark key of a record that no mark can vouch for: it lies below every mark, so the table is always asked."""


@dataclass(frozen=True, slots=True)
class KeySpace:
    """Where keys are comparable: one stream, numbers or hashes.

    Args:
        stream: Whose ids.
        form: `contiguous` (numbers that rise by one), `number` or `hash`.
        ordered: Whether the keys themselves are the mark keys, and rise.
    """

    stream: Stream
    form: str
    ordered: bool


@dataclass(frozen=True, slots=True)
class KeyGroup:
    """Records of one space within a batch.

    Args:
        space: Which.
        at: Their places in the batch, rising; None for all.
        keys: Their keys.
        mark_keys: What marks are compared with.
    """

    space: KeySpace
    at: npt.NDArray[np.intp] | None
    keys: npt.NDArray[Any]
    mark_keys: npt.NDArray[np.int64]

    def of(self, column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """This group's part of a column of the batch."""
        return column if self.at is None else column[self.at]


def key_groups(batch: IdentityBatch) -> Iterator[KeyGroup]:
    """Every record of a batch in exactly one group."""
    if not len(batch):
        return
    for stream, at in _by_stream(batch):
        ids: npt.NDArray[Any] = batch.ids if at is None else batch.ids[at]
        if ids.dtype.kind == "i":
            yield _numbers(batch, stream, at, ids)
            continue
        everywhere = np.arange(len(batch), dtype=np.intp) if at is None else at
        found = [number_of(text) for text in ids]
        canonical = np.array([number is not None for number in found], bool)
        if canonical.any():
            numbers = np.array([number for number in found if number is not None], np.int64)
            yield _numbers(batch, stream, everywhere[canonical], numbers)
        if not canonical.all():
            yield _hashes(batch, stream, everywhere[~canonical], ids[~canonical])


def _by_stream(batch: IdentityBatch) -> Iterator[tuple[Stream, npt.NDArray[np.intp] | None]]:
    if len(batch.streams) == 1:
        yield batch.streams[0], None
        return
    order = np.argsort(batch.stream, kind="stable")
    for at in np.split(order, np.flatnonzero(np.diff(batch.stream[order])) + 1):
        yield batch.streams[int(batch.stream[at[0]])], at


def _numbers(
    batch: IdentityBatch, stream: Stream, at: npt.NDArray[np.intp] | None, keys: npt.NDArray[np.int64]
) -> KeyGroup:
    if batch.kind != "opaque":
        return KeyGroup(
            KeySpace(stream, "contiguous" if batch.kind == "contiguous" else "number", True), at, keys, keys
        )
    return KeyGroup(KeySpace(stream, "number", False), at, keys, _times(batch, at, len(keys)))


def _hashes(batch: IdentityBatch, stream: Stream, at: npt.NDArray[np.intp], texts: npt.NDArray[np.object_]) -> KeyGroup:
    keys = np.array([hashlib.blake2b(t.encode(), digest_size=16).digest() for t in texts], "S16")
    # A text among ids that should be numbers has no place in their order: only the table can tell.
    sure = batch.kind == "opaque"
    times = _times(batch, at, len(keys)) if sure else np.full(len(keys), NEVER_SURE)
    return KeyGroup(KeySpace(stream, "hash", False), at, keys, times)


def _times(batch: IdentityBatch, at: npt.NDArray[np.intp] | None, n: int) -> npt.NDArray[np.int64]:
    if batch.event_time == "received":  # differs between copies, so it says nothing
        return np.full(n, NEVER_SURE)
    return batch.order_ms if at is None else batch.order_ms[at]
