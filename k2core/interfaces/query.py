"""`QuerySource`: the cold half of a hybrid query, on a pinned snapshot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    import pyarrow as pa

    from k2core.interfaces.broker import Offsets, Partition
    from k2core.interfaces.dedup import StoredIdentities
    from k2core.interfaces.shed import Shed
    from k2core.interfaces.sink import Gone
    from k2core.records.data_type import DataType

Key = tuple[int, str, int, int]
"""A row's place in the total order: (order column in ms, topic, log_partition, log_offset)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which rows a query wants, the same for both halves.

    Args:
        symbols: Only these; None for all.
        exchanges: Only these; None for all.
        start_ms: Order column ≥ this, Unix ms; None for no bound.
        end_ms: Order column < this; None for no bound.
        below: Only rows at positions below these next offsets; a partition absent counts as 0 (no rows).
        as_of_us: Only rows appended at or before this, Unix µs; None for no bound.
        after: Only rows strictly beyond this key, in the direction of `descending`.
        descending: Newest first.
        limit: At most so many rows; None for all.
        columns: Columns wanted, besides those of the key; None for all.
    """

    symbols: tuple[str, ...] | None = None
    exchanges: tuple[str, ...] | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    below: Offsets = field(default_factory=dict)
    as_of_us: int | None = None
    after: Key | None = None
    descending: bool = True
    limit: int | None = None
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot of a table, with the offsets B up to which it holds the log.

    Args:
        id: The sink's own id; None while the table is empty.
        parent_id: The snapshot before it, where known.
        offsets: B, next offset per partition.
        timestamp_ms: When it was committed.
        extra: Whatever the source needs to read it.
        topic_ids, stamps, gone, shed: As in the sink's `Head`: what the table says of the log that fed it.
    """

    id: int | None
    parent_id: int | None
    offsets: Offsets
    timestamp_ms: int
    extra: Any = None
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    stamps: Mapping[Partition, str] = field(default_factory=dict)
    gone: tuple[Gone, ...] = ()
    shed: tuple[Shed, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """Rows of the cold half, ordered by key, and what it took: `stats` as partitions, files and row groups, with
    how many of each were pruned.
    """

    rows: pa.Table
    stats: Mapping[str, int] = field(default_factory=dict)


class SourceTable(ABC):
    """Reads one table. Any number of threads."""

    @abstractmethod
    def newest(self) -> Snapshot:
        """The head of `main`, read afresh (cheap: called for every query)."""

    @abstractmethod
    def snapshot(self, snapshot_id: int) -> Snapshot:
        """A snapshot that still lives.

        Raises:
            QueryError: `snapshot-gone`; the message names the nearest that lives.
        """

    @abstractmethod
    def contains_snapshot(self, snapshot_id: int) -> bool:
        """Whether a snapshot is the head of `main` or one of its known ancestors."""

    @abstractmethod
    def scan(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        """Rows of `table_schema` (the selected columns) in key order.

        Raises:
            QueryError: `timeout`, or the table could not be read.
        """

    @abstractmethod
    def ohlcv(
        self,
        snapshot: Snapshot,
        selection: Selection,
        interval_ms: int,
        *,
        price: str,
        quantity: str,
        timeout: float,
    ) -> Scanned:
        """Partial bars of the selected rows, to be merged with other partial bars.

        Columns: symbol, exchange, bar_ms (start), first_ms/first_topic/first_partition/first_offset and open,
        last_ms/last_topic/last_partition/last_offset and close, high, low, volume, notional, trades. Optional:
        volume_parts and notional_parts, lists of at least one double whose exact sum the sum is. With them bars are
        the same to the last bit wherever table and memory meet; without, each partial sum counts as it is.
        """

    @abstractmethod
    def symbols(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        """Columns symbol, exchange, rows, first_ms, last_ms."""

    @abstractmethod
    def stored(self, snapshot: Snapshot | None = None) -> StoredIdentities:
        """Identities in one snapshot, or in the newest as of each call."""

    def seen(self, snapshot: Snapshot) -> frozenset[tuple[str, str]] | None:
        """Every (symbol, exchange) that the table had rows of, where that is known without reading rows; else None."""
        return None

    def stats(self) -> Mapping[str, int]:
        """Rows, files, bytes, snapshots of the table."""
        return {}


class QuerySource(ABC):
    """Reads the tables that a sink keeps."""

    @abstractmethod
    def table(self, data_type: DataType) -> SourceTable:
        """The table of a data type; it may not exist yet (then its newest snapshot is empty)."""

    def location(self, data_type: DataType) -> Mapping[str, str]:
        """How to open the table elsewhere: catalog URI, table name, folder."""
        return {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release what is held."""


OrderBy = Literal["asc", "desc"]
