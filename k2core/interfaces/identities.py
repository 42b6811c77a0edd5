"""Identities of records as columns: what dedup stores, sinks and tails compare.

The canonical form of an identity is its *text*; a text that is a canonical decimal may stand as the number instead, so
that equal texts and equal numbers mean the same (`number_of`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from k2core.interfaces.broker import Partition
    from k2core.interfaces.frames import IdKind

LONGEST = 19
"""Digits of 2**63 - 1; a longer text is no such number, and is never converted."""


def number_of(text: str) -> int | None:
    """The number that an id is: a canonical decimal (no sign, no leading zero) below 2**63; else None."""
    if len(text) > LONGEST or not (text.isascii() and text.isdigit()) or (text[0] == "0" and len(text) > 1):
        return None
    number = int(text)
    return number if number < 1 << 63 else None


@dataclass(frozen=True, slots=True, order=True)
class Stream:
    """One run of ids: an exchange's symbol, in one epoch of its ids."""

    exchange: str
    symbol: str
    id_epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityBatch:
    """Identities of n records of one partition, in log order.

    Args:
        data_type: Name of the data type.
        partition: Where they lie.
        kind: What the connector declares of the ids.
        streams: The distinct streams.
        stream: Index into `streams`, int32[n].
        ids: The ids as text, an array of Python `str` (object[n]) or, where every one is a canonical decimal number
            (no sign, no leading zero, < 2**63), int64[n]. A stream's ids are equal if and only if these are.
        order_ms: The record's event time, Unix ms, int64[n].
        event_time: Whether `order_ms` is the `exchange`'s or the time it was `received`.
        offsets: Log offsets, int64[n], rising.
        timestamps_us: Append times, int64[n].
    """

    data_type: str
    partition: Partition
    kind: IdKind
    streams: tuple[Stream, ...]
    stream: npt.NDArray[np.int32]
    ids: npt.NDArray[np.int64] | npt.NDArray[np.object_]
    order_ms: npt.NDArray[np.int64]
    event_time: str
    offsets: npt.NDArray[np.int64]
    timestamps_us: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets)

    def where(self, mask: npt.NDArray[np.bool_]) -> IdentityBatch:
        """The records that a mask (bool[n]) picks, in order."""
        return IdentityBatch(
            data_type=self.data_type, partition=self.partition, kind=self.kind, streams=self.streams,
            stream=self.stream[mask], ids=self.ids[mask], order_ms=self.order_ms[mask],
            event_time=self.event_time, offsets=self.offsets[mask], timestamps_us=self.timestamps_us[mask],
        )  # fmt: skip
