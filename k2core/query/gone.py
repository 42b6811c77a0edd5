"""What an answer lacks because the table never had it: records that retention removed before a writer came."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from k2core.interfaces.query import Selection
from k2core.interfaces.sink import Gone
from k2core.query.answer import Missing
from k2core.query.pin import Pinned
from k2core.records.topics import Topic, partition_of

LEAD_MS = 60_000
"""An event time may lie so far after its record's append time: clocks differ."""


def gone_from(pinned: Pinned, wanted: Selection, rows: pa.Table, order: str) -> Iterator[Missing]:
    """Ranges that may hold rows of this answer.

    Args:
        pinned: Log and table.
        wanted: What was asked for; a `limit` is that of the page.
        rows: The answer.
        order: The data type's order column.
    """
    since_ms = since(wanted, rows, order)
    for one in pinned.snapshot.gone:
        place = one.topic, one.partition
        later = one.before_us is not None and since_ms is not None and since_ms > one.before_us // 1000 + LEAD_MS
        if not later and one.first_offset < pinned.ends.get(place, 0) and _concerns(one, wanted):
            reason = "retention removed them before they were stored"
            yield Missing(one.topic, one.partition, one.first_offset, one.next_offset, reason)


def since(wanted: Selection, rows: pa.Table, order: str) -> int | None:
    """No earlier row can belong to the answer: a full page, newest first, ends at its last row."""
    full = wanted.limit is not None and wanted.descending and 0 < wanted.limit <= rows.num_rows
    if full and order in rows.column_names:
        last = int(rows.column(order)[rows.num_rows - 1].as_py())
        return last if wanted.start_ms is None else max(last, wanted.start_ms)
    return wanted.start_ms


def _concerns(one: Gone, wanted: Selection) -> bool:
    if wanted.symbols is not None and one.partition not in {partition_of(symbol) for symbol in wanted.symbols}:
        return False
    return wanted.exchanges is None or Topic.parse(one.topic).exchange in wanted.exchanges
