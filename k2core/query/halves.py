"""The two halves of one query: rows, bars and symbols of cold and hot, over the same pin and the same predicates."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from k2core.interfaces.query import Scanned, Selection, SourceTable
from k2core.query.answer import Missing
from k2core.query.cursor import ends_of
from k2core.query.gate import Deadline
from k2core.query.hole import Filled, fill
from k2core.query.hot import columns_of, select
from k2core.query.keyorder import in_key_order, join_tables
from k2core.query.pin import Pinned, Split, split
from k2core.query.tail import Tail
from k2core.query.view import pick_lanes


@dataclass(slots=True)
class Halves:
    """One query while it runs.

    Args:
        tail: The hot half.
        source: The cold half.
        pinned: What is read up to where.
        deadline: When it has to be done.
    """

    tail: Tail
    source: SourceTable
    pinned: Pinned
    deadline: Deadline
    missing: list[Missing] = field(default_factory=list)
    explain: dict[str, Any] = field(default_factory=dict)

    def rows(self, wanted: Selection) -> pa.Table:
        """Selected rows in key order, at most `wanted.limit`."""
        parts = split(self.pinned, prefer_hot=wanted.limit is not None)
        data_type = self.tail.parts.data_type
        hot = self.hot(wanted, parts)
        cold = self.cold(_narrowed(wanted, hot, data_type.order), parts)
        rows = join_tables([cold, hot], columns_of(data_type, wanted))
        return in_key_order(rows, data_type.order, descending=wanted.descending, limit=wanted.limit)

    def hot(self, wanted: Selection, parts: Split) -> pa.Table:
        """Rows that are taken from the tail, and from holes of it; in key order where there is a limit."""
        data_type, ends = self.tail.parts.data_type, self.pinned.ends
        lanes = self.pinned.view.lanes_for(wanted)
        found = [select(lanes, wanted, parts.hot, ends, data_type)]
        if parts.holes:
            filled = self._fill(wanted, parts)
            found.append(select(pick_lanes(filled.lanes, wanted), wanted, {}, ends, data_type))
        rows = join_tables(found, columns_of(data_type, wanted))
        self.explain["tail_rows"] = rows.num_rows
        if wanted.limit is None:
            return rows
        return in_key_order(rows, data_type.order, descending=wanted.descending, limit=wanted.limit)

    def cold(self, wanted: Selection, parts: Split) -> pa.Table:
        """Rows that are taken from the table."""
        snapshot = self.pinned.snapshot
        schema = columns_of(self.tail.parts.data_type, wanted)
        if snapshot.id is None:
            return self.scanned(Scanned(rows=schema.empty_table(), stats={}))
        wanted = replace(wanted, below=parts.cold)
        return self.scanned(self.source.scan(snapshot, wanted, timeout=self.deadline.left()))

    def seen(self) -> frozenset[tuple[str, str]] | None:
        """Every (symbol, exchange) of memory and table; None where the table cannot tell, or a hole may have more."""
        stored = self.source.seen(self.pinned.snapshot) if self.pinned.snapshot.id is not None else frozenset()
        if stored is None or split(self.pinned, prefer_hot=False).holes:
            return None
        lanes = self.pinned.view.lanes.values()
        return stored.union((lane.symbol, lane.exchange) for lane in lanes)

    def scanned(self, scanned: Scanned) -> pa.Table:
        """Note what a cold scan took."""
        self.explain |= {
            "pin": ends_of(self.pinned.ends),
            "snapshot_id": self.pinned.snapshot.id,
            "table": "empty" if self.pinned.snapshot.id is None else "read",
            "cold_rows": scanned.rows.num_rows,
            "cold": dict(scanned.stats),
        }
        return scanned.rows

    def _fill(self, wanted: Selection, parts: Split) -> Filled:
        filled = fill(self.tail.parts, self.tail.follower, parts.holes, self.deadline)
        self.missing += filled.missing
        self.explain["hole_records"] = filled.read
        return filled


def _narrowed(wanted: Selection, hot: pa.Table, order: str) -> Selection:
    """What the table can still add: nothing older than the last row of a page that the tail filled alone."""
    if wanted.limit is None or hot.num_rows < wanted.limit or not hot.num_rows:
        return wanted
    last = int(hot.column(order)[hot.num_rows - 1].as_py())
    if wanted.descending:
        return replace(wanted, start_ms=last if wanted.start_ms is None else max(last, wanted.start_ms))
    return replace(wanted, end_ms=last + 1 if wanted.end_ms is None else min(last + 1, wanted.end_ms))
