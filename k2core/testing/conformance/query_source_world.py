"""What the suite of query sources works with: a table filled through the paired sink, and a reader by brute force."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from k2core.clock import Clock
from k2core.interfaces.broker import Offsets, Partition
from k2core.interfaces.query import Key, QuerySource, Selection, Snapshot, SourceTable
from k2core.interfaces.sink import Sink
from k2core.records.builtin import TRADES
from k2core.records.data_type import DataType
from k2core.testing.clock import ManualClock
from k2core.testing.conformance.facts import FactSuite
from k2core.testing.conformance.sink_world import KRAKEN, PARTS, START_MS, Hand, Row, rows_between

ALL = PARTS | {(KRAKEN, p) for _, p in sorted(PARTS)[:2]}
"""Two exchanges, some of their symbols of one name."""
PATIENCE_S = 60.0


class SourceFacts(FactSuite):
    """How a query source and the sink that feeds it are opened. A subclass gives `open` and `open_sink`.

    Attributes:
        timeouts: The subclass gives `slowed`, so that a query can be made to take too long.
        wait_s: The longest that a single wait may take.
    """

    timeouts: bool = False
    wait_s: float = 60.0

    def open(self, place: Path, clock: Clock) -> QuerySource:
        """A source of the tables that `open_sink` keeps at this place; opened twice, each is as another process."""
        raise NotImplementedError(f"{type(self).__name__} must define open(self, place, clock) -> QuerySource")

    def open_sink(self, place: Path, clock: Clock) -> Sink:
        """The sink that feeds it. `place` is an existing folder, empty at first."""
        raise NotImplementedError(f"{type(self).__name__} must define open_sink(self, place, clock) -> Sink")

    def slowed(self, table: SourceTable) -> contextlib.AbstractContextManager[None]:
        """Within it, every read of the table takes longer than a second."""
        raise NotImplementedError(f"{type(self).__name__} declares timeouts = True and must define slowed")

    @contextlib.contextmanager
    def filled(self, place: Path, *counts: int) -> Iterator[Filled]:
        """A table with so many records on each partition, a commit each, and its source."""
        place.mkdir(parents=True, exist_ok=True)
        clock = ManualClock((START_MS + 3_600_000) * 1_000_000)
        with self.open_sink(place, clock) as sink, self.open(place, clock) as source:
            assert isinstance(source, QuerySource), f"open made a {type(source).__name__}, not a QuerySource"
            made = Filled(Hand(sink.table(TRADES), "one", ALL), source.table(TRADES), clock)
            for count in counts:
                made.write(count)
            yield made


class Filled:
    """A table that a test writes to, and reads.

    Attributes:
        hand: Its writer.
        table: Its source.
        clock: The clock of both.
        snapshots: What `write` made so far, with the offsets that each must have.
    """

    def __init__(self, hand: Hand, table: SourceTable, clock: ManualClock) -> None:
        self.hand, self.table, self.clock = hand, table, clock
        self.snapshots: list[tuple[int, dict[Partition, int]]] = []

    def write(self, count: int) -> int:
        """Commit the next records; the snapshot's id."""
        head = self.hand.write(count)
        assert head.snapshot_id is not None
        self.snapshots.append((head.snapshot_id, dict(self.hand.at)))
        self.clock.advance(1)
        return head.snapshot_id

    def scan(self, snapshot: Snapshot | None = None, **wanted: Any) -> list[Row]:
        """Rows of a selection, by default below the snapshot's own offsets, of the newest snapshot."""
        at = snapshot or self.table.newest()
        selection = Selection(**{"below": at.offsets, **wanted})
        return list(self.table.scan(at, selection, timeout=PATIENCE_S).rows.to_pylist())

    def check(self, snapshot: Snapshot | None = None, **wanted: Any) -> None:
        """A selection gives what reading every row gives, in this order."""
        at = snapshot or self.table.newest()
        selection = Selection(**{"below": at.offsets, **wanted})
        got, want = self.scan(at, **wanted), brute_scan(rows_between({}, at.offsets), selection)
        assert [key(r) for r in got] == [key(r) for r in want], f"{wanted} gives other rows, or in another order"


def key(row: Row) -> Key:
    """A row's place in the total order."""
    return row[TRADES.order], row["topic"], row["log_partition"], row["log_offset"]


def wanted_rows(rows: Iterable[Row], s: Selection) -> list[Row]:
    """Rows that a selection wants, as its docstring says, in key order; neither limit nor direction."""
    found = [
        r
        for r in rows
        if r["log_offset"] < s.below.get((r["topic"], r["log_partition"]), 0)
        and (s.after is None or (key(r) < s.after if s.descending else key(r) > s.after))
        and (s.symbols is None or r["symbol"] in s.symbols)
        and (s.exchanges is None or r["exchange"] in s.exchanges)
        and (s.start_ms is None or r[TRADES.order] >= s.start_ms)
        and (s.end_ms is None or r[TRADES.order] < s.end_ms)
        and (s.as_of_us is None or r["log_timestamp"] <= s.as_of_us)
    ]
    return sorted(found, key=key)


def brute_scan(rows: Iterable[Row], s: Selection) -> list[Row]:
    """Rows that a selection wants, in its direction, no more than its limit."""
    found = wanted_rows(rows, s)
    return (found[::-1] if s.descending else found)[: s.limit]


def shifted(offsets: Offsets, by: int) -> dict[Partition, int]:
    """Every offset moved, none below 0."""
    return {p: max(0, o + by) for p, o in offsets.items()}


def empty_table(source: QuerySource, data_type: DataType) -> SourceTable:
    """The table of a data type that nobody has written yet."""
    return source.table(data_type)
