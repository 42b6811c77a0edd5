"""What an answer warns of: names that no row ever had, and a log that has not been read for a while."""

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
    """An answer about now, of a tail that could not read the log: it is whole below its pin, and the pin is old."""
    tail, parts = halves.tail, halves.tail.parts
    silent_s = tail.silent_s
    past = request.end_ms is not None and request.end_ms <= parts.clock.now_ms() - silent_s * 1000
    if past or silent_s <= parts.settings.stale_s:
        return ()
    return (
        f"the log was last read {silent_s:.0f} s ago: newer {parts.data_type.name} are not in this answer; k2 doctor tells why",
    )


def _unseen(halves: Halves, rows: pa.Table, request: RowsRequest) -> Sequence[str]:
    """Names that the question holds and no row ever did, as far as the table can tell."""
    named = len(request.symbols or ()) + len(request.exchanges or ())
    if not named or (rows.num_rows and named == 1):
        return ()
    return unseen(halves.tail.parts.data_type.name, request, seen) if (seen := halves.seen()) is not None else ()
