"""What an answer lacks because a writer shed it under load, and nobody brought it back before the answer's pin."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from k2core.interfaces.query import Selection
from k2core.interfaces.shed import Shed
from k2core.query.answer import Missing
from k2core.query.gone import LEAD_MS, since
from k2core.query.pin import Pinned
from k2core.records.topics import Topic

NAMED = 4
"""Symbols that a reason names."""


def shed_from(pinned: Pinned, wanted: Selection, rows: pa.Table, order: str) -> Iterator[Missing]:
    """Ranges that may hold rows of this answer; the arguments are those of `gone_from`."""
    since_ms = since(wanted, rows, order)
    for one in pinned.snapshot.shed:
        end = pinned.ends.get(one.place, 0)
        if one.first_offset >= end or not _concerns(one, wanted) or _is_back(one, wanted, end):
            continue
        if since_ms is None or since_ms <= one.last_us // 1000 + LEAD_MS:
            yield Missing(one.topic, one.partition, one.first_offset, one.next_offset, _reason(one, wanted))


def _concerns(one: Shed, wanted: Selection) -> bool:
    if wanted.as_of_us is not None and one.first_us > wanted.as_of_us:
        return False
    known = wanted.exchanges is None or Topic.parse(one.topic).exchange in wanted.exchanges
    return known and one.concerns(wanted.symbols)


def _is_back(one: Shed, wanted: Selection, end: int) -> bool:
    """Whether what was shed lies below the pin again."""
    if one.state != "restored" or one.back_offset is None or one.back_offset > end:
        return False
    return wanted.as_of_us is None or (one.back_us is not None and one.back_us <= wanted.as_of_us)


def _reason(one: Shed, wanted: Selection) -> str:
    names = sorted(one.names if wanted.symbols is None else one.names & {*wanted.symbols, "*"})
    what = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    if one.state == "lost":
        return f"shed under load ({one.level}): {what}; the log removed them before they were brought back"
    if one.state == "restored":
        return f"shed under load ({one.level}): {what}; brought back after this answer's pin"
    return f"shed under load ({one.level}): {what}; `k2 backfill --from-log` brings them back"
