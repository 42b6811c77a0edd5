"""What the writer has read and claimed but not committed: rows, counts, and how far each partition was read."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from k2core.interfaces.broker import Partition
from k2core.interfaces.sink import LogFacts


@dataclass(slots=True)
class Waiting:
    """Everything since the last commit.

    Args:
        tables: New rows, in reading order.
        next: Next offset of every partition that was read.
        records: Records read: new, duplicate and dead.
        duplicates: Of those, dropped as copies.
        dead: Of those, refused.
        newest_us: Latest append time, Unix µs.
        stamps: By partition, the stamp of the last record read, with the offset after it.
    """

    tables: list[pa.Table] = field(default_factory=list)
    next: dict[Partition, int] = field(default_factory=dict)
    records: int = 0
    duplicates: int = 0
    dead: int = 0
    newest_us: int = 0
    stamps: dict[Partition, tuple[int, str]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """New rows."""
        return sum(len(table) for table in self.tables)

    def facts(self) -> LogFacts:
        """What a commit of all this says of the log."""
        known = self.stamps.items()
        return LogFacts(stamps={place: text for place, (at, text) in known if self.next.get(place) == at})

    def take(self, schema: pa.Schema) -> pa.Table:
        """The new rows as one table; words of a column share one dictionary."""
        if not self.tables:
            return schema.empty_table()
        return pa.concat_tables(self.tables).unify_dictionaries()
