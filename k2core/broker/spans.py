"""How many records lie between two offsets of a partition, which may lie in different epochs of the log."""

from __future__ import annotations

from k2core.interfaces.broker import Offsets, Partition

EPOCH_SHIFT = 40


def records_between(first: int, following: int) -> int:
    """Records from `first` up to `following`; across a log epoch at least so many, for where it ended is not known."""
    if following <= first:
        return 0
    if following >> EPOCH_SHIFT == first >> EPOCH_SHIFT:
        return following - first
    return max(1, following & ((1 << EPOCH_SHIFT) - 1))


def lag_of(ends: Offsets, offsets: Offsets) -> dict[Partition, int]:
    """Records of each partition beyond these offsets, where there are any."""
    lag = {place: records_between(offsets.get(place, 0), end) for place, end in ends.items()}
    return {place: records for place, records in lag.items() if records}
