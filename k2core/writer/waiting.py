"""What the writer has read and claimed but not committed: rows, counts, and how far each partition was read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from k2core.interfaces.broker import Partition
from k2core.interfaces.shed import Shed, coalesced
from k2core.interfaces.sink import LogFacts


@dataclass(slots=True)
class Waiting:
    """Everything since the last commit.

    Args:
        tables: New rows, in reading order.
        next: Next offset of every partition that was read.
        records: Records read: new, duplicate, dead and shed.
        duplicates: Of those, dropped as copies.
        dead: Of those, refused.
        newest_us: Latest append time, Unix µs.
        stamps: By partition, the stamp of the last record read, with the offset after it.
        counts: By partition, its part of records, duplicates and dead.
        times: By partition, append time (Unix µs) and number of records of each block read.
        shed: Ranges that were read while a level shed.
    """

    tables: list[pa.Table] = field(default_factory=list)
    next: dict[Partition, int] = field(default_factory=dict)
    records: int = 0
    duplicates: int = 0
    dead: int = 0
    newest_us: int = 0
    stamps: dict[Partition, tuple[int, str]] = field(default_factory=dict)
    counts: dict[Partition, tuple[int, int, int]] = field(default_factory=dict)
    times: dict[Partition, list[tuple[int, int]]] = field(default_factory=dict)
    shed: list[Shed] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """New rows."""
        return sum(len(table) for table in self.tables)

    @property
    def shed_records(self) -> int:
        """Of `records`, those that were shed."""
        return sum(one.records for one in self.shed)

    @property
    def held(self) -> int:
        """Of `records`, those that a commit has work with: all but the shed ones."""
        return self.records - self.shed_records

    def pass_by(self, shed: Sequence[Shed]) -> None:
        """Ranges that were read while a level shed."""
        self.shed = coalesced(self.shed, shed)

    def count(self, place: Partition, records: int, duplicates: int, dead: int) -> None:
        """So many more were read of a partition."""
        before = self.counts.get(place, (0, 0, 0))
        self.counts[place] = before[0] + records, before[1] + duplicates, before[2] + dead
        self.records += records
        self.duplicates += duplicates
        self.dead += dead

    def forget(self, places: Collection[Partition]) -> None:
        """Partitions that were given up: whatever was read of them was never read."""
        for place in places:
            self.next.pop(place, None)
            self.stamps.pop(place, None)
            self.times.pop(place, None)
            self.count(place, *(-n for n in self.counts.get(place, (0, 0, 0))))
        self.shed = [one for one in self.shed if one.place not in places]
        self.tables = [left for left in (_without(rows, places) for rows in self.tables) if len(left)]

    def facts(self) -> LogFacts:
        """What a commit of all this says of the log."""
        known = self.stamps.items()
        stamps = {place: text for place, (at, text) in known if self.next.get(place) == at}
        return LogFacts(stamps=stamps, shed=tuple(coalesced((), self.shed)))

    def take(self, schema: pa.Schema) -> pa.Table:
        """The new rows as one table; words of a column share one dictionary."""
        if not self.tables:
            return schema.empty_table()
        return pa.concat_tables(self.tables).unify_dictionaries()


def _without(rows: pa.Table, places: Collection[Partition]) -> pa.Table:
    """The rows that are not of these partitions."""
    there = zip(rows.column("topic").to_pylist(), rows.column("log_partition").to_pylist(), strict=True)
    return rows.filter(pa.array([place not in places for place in there], pa.bool_()))
