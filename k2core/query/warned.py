"""What an answer warns of: names that no row ever had, and a tail that is behind the log."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from k2core.query.answer import RowsRequest
from k2core.query.halves import Halves
from k2core.query.spelling import unseen


def warnings_of(halves: Halves, rows: pa.Table, request: RowsRequest, *, settled: bool) -> Sequence[str]:
    """Warnings of an answer's first page.

    Args:
        halves: What it was read from.
        rows: Its rows.
        request: The question.
        settled: Whether it asks for rows that nothing can join any more: what came since does not matter.
    """
    if request.cursor is not None:
        return ()
    return (
        *(() if settled or request.snapshot_id is not None else _stale(halves, request)),
        *_unseen(halves, rows, request),
    )


def _stale(halves: Halves, request: RowsRequest) -> Sequence[str]:
    """An answer about now, of a tail that cannot follow the log: it is whole below its pin, and the pin is old."""
    parts, age_s = halves.tail.parts, halves.pinned.age_s
    past = request.end_ms is not None and request.end_ms <= parts.clock.now_ms() - age_s * 1000
    if past or age_s <= parts.settings.stale_s:
        return ()
    name = parts.data_type.name
    return (
        f"{name} of the last {age_s:.0f} s may be lacking: the log is away or not read that far; k2 doctor tells more",
    )


def _unseen(halves: Halves, rows: pa.Table, request: RowsRequest) -> Sequence[str]:
    """Names that the question holds and no row ever did, as far as the table can tell."""
    named = len(request.symbols or ()) + len(request.exchanges or ())
    if not named or (rows.num_rows and named == 1):
        return ()
    return unseen(halves.tail.parts.data_type.name, request, seen) if (seen := halves.seen()) is not None else ()
