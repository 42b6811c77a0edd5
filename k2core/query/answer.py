"""What is asked of a `QueryService`, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from k2core.interfaces.broker import Offsets

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsRequest:
    """Rows wanted. With `cursor`, all but `limit` comes from the cursor.

    Args:
        symbols: Only these; None for all.
        exchanges: Only these; None for all.
        start_ms: Inclusive, Unix ms; None for no bound.
        end_ms: Exclusive.
        descending: Newest first.
        limit: Rows on this page; None for the setting's default.
        columns: Columns wanted besides those of the key; None for all.
        as_of_us: Only rows appended at or before this, Unix µs.
        snapshot_id: Only the rows of this snapshot of the table.
        cursor: Go on where an earlier answer stopped.
        min_offset: Wait until the log is read up to these next offsets: the caller's own writes.
        asked: The caller's words for all this besides cursor and limit; a cursor fits only the same words.
    """

    symbols: tuple[str, ...] | None = None
    exchanges: tuple[str, ...] | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    descending: bool = True
    limit: int | None = None
    columns: tuple[str, ...] | None = None
    as_of_us: int | None = None
    snapshot_id: int | None = None
    cursor: str | None = None
    min_offset: Offsets = field(default_factory=dict)
    asked: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """A range of the log that an answer should have had and has not."""

    topic: str
    partition: int
    first_offset: int
    next_offset: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Rows, and what they stand for.

    Args:
        rows: In the answer's order; for `ohlcv` bars, for `symbols` one row a symbol.
        pin: The log ends H that were read up to.
        snapshot_id: Snapshot of the cold half; None while the table is empty.
        missing: What is missing; empty in a complete answer.
        reproducible: Whether the same question will give the same rows for ever (`as_of` at a closed time).
        next_cursor: For the next page; None where there is none.
        explain: Pin, snapshot, what was pruned, rows from the tail.
        symbols: What was asked for, by the request or its cursor; None for all.
        warnings: What the caller may have got wrong, and how old an answer about now is, in sentences.
    """

    rows: pa.Table
    pin: Offsets
    snapshot_id: int | None
    missing: Sequence[Missing] = ()
    reproducible: bool = True
    next_cursor: str | None = None
    explain: Mapping[str, Any] = field(default_factory=dict)
    symbols: tuple[str, ...] | None = None
    warnings: Sequence[str] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing
