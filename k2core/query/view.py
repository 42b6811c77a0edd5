"""`View`: what a tail shows at one moment; immutable, published by one reference swap, read without a lock.

What the last polls brought lies beside the lanes, uncut: cutting ten rows by symbol costs as much as cutting a
thousand, so it is done once for many polls, or when somebody reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from k2core.interfaces.broker import Partition
from k2core.interfaces.query import Selection, Snapshot
from k2core.query.copies import Copies
from k2core.query.slices import Lane, join, pieces_of


@dataclass(slots=True)
class _Cut:
    """The lanes with the recent rows in them, once somebody wanted them."""

    lanes: Mapping[tuple[str, str], Lane] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The tail's rows and the range of the log that they stand for.

    Args:
        seen: The newest snapshot that the tail has seen; only below its offsets was anything forgotten.
        starts: T0: rows from these offsets on are complete.
        ends: H: next offset of every partition that the tail has read.
        order: Order column of the data type.
        settled: By (symbol, topic), without `recent`.
        recent: What was read after that, in log order.
        rows: Rows of both.
        size: Bytes of both.
        copies: What was dropped as a copy of an uncommitted record; the window's own.
    """

    seen: Snapshot
    starts: Mapping[Partition, int]
    ends: Mapping[Partition, int]
    order: str
    settled: Mapping[tuple[str, str], Lane] = field(default_factory=dict)
    recent: tuple[pa.RecordBatch, ...] = ()
    rows: int = 0
    size: int = 0
    copies: Copies = field(default_factory=Copies)
    _cut: _Cut = field(default_factory=_Cut, init=False, repr=False)

    @property
    def lanes(self) -> Mapping[tuple[str, str], Lane]:
        """All rows by (symbol, topic). Two readers may both cut, to the same end."""
        if not self.recent:
            return self.settled
        if self._cut.lanes is None:
            self._cut.lanes = with_rows(self.settled, self.recent, self.order)
        return self._cut.lanes

    def undone(self, snapshot: Snapshot) -> bool:
        """Whether a snapshot says that records were shed of which others were dropped here as copies."""
        return self.copies.undone(snapshot, self.seen.offsets)

    @property
    def is_cut(self) -> bool:
        """Whether `lanes` costs nothing."""
        return not self.recent or self._cut.lanes is not None

    def lanes_for(self, selection: Selection) -> Iterator[Lane]:
        """Lanes that may hold selected rows."""
        yield from pick_lanes(self.lanes, selection)


def with_rows(
    lanes: Mapping[tuple[str, str], Lane], recent: tuple[pa.RecordBatch, ...], order: str
) -> dict[tuple[str, str], Lane]:
    """Lanes with further rows at their ends."""
    found = dict(lanes)
    for partition, exchange, symbol, piece in pieces_of(join(pa.Table.from_batches(recent)), order):
        lane = found.get((symbol, partition[0])) or Lane(partition, exchange, symbol, ())
        found[lane.key] = lane.with_slice(piece, order)
    return found


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
