"""Keeping a tail within its bounds: committed rows beyond its target length go, and under memory pressure any.

What goes before it was committed leaves a hole between the table's offsets and the view's starts; queries read it from
the log. So dropping is always exact, never silent.
"""

from __future__ import annotations

import heapq
from dataclasses import replace

from k2core.interfaces.broker import Partition
from k2core.query.view import View


def shorten(view: View, before_us: int, max_bytes: int) -> View:
    """Drop slices from the old end.

    Args:
        view: What to shorten.
        before_us: Committed slices appended wholly before this time go, Unix µs.
        max_bytes: While the view is larger, its oldest slices go, committed or not.
    """
    lanes, starts = dict(view.lanes), dict(view.starts)
    size = sum(s.size for lane in lanes.values() for s in lane.slices)
    oldest = [(lane.slices[0].last_us, key) for key, lane in lanes.items() if lane.slices]
    heapq.heapify(oldest)
    while oldest and (size > max_bytes or oldest[0][0] < before_us):
        key = heapq.heappop(oldest)[1]
        lane = lanes[key]
        first = lane.slices[0]
        if size <= max_bytes and first.last_offset >= view.seen.offsets.get(lane.partition, 0):
            continue
        size -= first.size
        _raise(starts, lane.partition, first.last_offset + 1)
        lanes[key] = lane = lane.without_first()
        if lane.slices:
            heapq.heappush(oldest, (lane.slices[0].last_us, key))
        else:
            del lanes[key]
    rows = sum(s.rows.num_rows for lane in lanes.values() for s in lane.slices)
    return replace(view, settled=lanes, recent=(), starts=starts, rows=rows, size=size)


def _raise(starts: dict[Partition, int], partition: Partition, offset: int) -> None:
    starts[partition] = max(starts.get(partition, 0), offset)
