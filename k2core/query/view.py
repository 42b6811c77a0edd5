"""`View`: what a tail shows at one moment; immutable, published by one reference swap, read without a lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from k2core.interfaces.broker import Partition
from k2core.interfaces.query import Selection, Snapshot
from k2core.query.slices import Lane


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The tail's rows and the range of the log that they stand for.

    Args:
        seen: The newest snapshot that the tail has seen; only below its offsets was anything forgotten.
        starts: T0: rows from these offsets on are complete.
        ends: H: next offset of every partition that the tail has read.
        lanes: By (symbol, topic).
        rows: Rows in all lanes.
        size: Bytes in all lanes.
    """

    seen: Snapshot
    starts: Mapping[Partition, int]
    ends: Mapping[Partition, int]
    lanes: Mapping[tuple[str, str], Lane]
    rows: int = 0
    size: int = 0

    def lanes_for(self, selection: Selection) -> Iterator[Lane]:
        """Lanes that may hold selected rows."""
        yield from pick_lanes(self.lanes, selection)


def pick_lanes(lanes: Mapping[tuple[str, str], Lane], selection: Selection) -> Iterator[Lane]:
    """Lanes whose symbol and exchange a selection names."""
    if selection.symbols is None:
        found = iter(lanes.values())
    else:
        topics = {topic for _, topic in lanes}
        keys = [(symbol, topic) for symbol in dict.fromkeys(selection.symbols) for topic in topics]
        found = (lanes[key] for key in keys if key in lanes)
    for lane in found:
        if selection.exchanges is None or lane.exchange in selection.exchanges:
            yield lane
