"""A table in memory for the writer's tests: rows, offsets and owners, look-ups by brute force, failures on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from k2core.admission.identities import number_of
from k2core.errors import CommitConflictError, CommitUnknownError, FencedError
from k2core.interfaces.broker import Offsets, Partition
from k2core.interfaces.dedup import StoredIdentities
from k2core.interfaces.frames import ChannelFacts
from k2core.interfaces.identities import IdentityBatch, Stream
from k2core.interfaces.sink import Head, MaintenanceReport, Ownership, SinkTable, Staged

Row = dict[str, Any]


@dataclass(frozen=True)
class Version:
    rows: tuple[Row, ...] = ()
    offsets: Mapping[Partition, int] = field(default_factory=dict)
    parent: Version | None = None


@dataclass
class Store:
    """What outlives writers: `main` with its ancestry, the owners' tokens, the topics' ids."""

    main: Version = Version()
    tokens: dict[Partition, str] = field(default_factory=dict)
    topic_ids: dict[str, str] = field(default_factory=dict)
    takings: int = 0
    commits: int = 0
    on_the_way: list[Callable[[], None]] = field(default_factory=list)
    reached: dict[Partition, int] = field(default_factory=dict)

    def swap(self, rows: list[Row], owned: Ownership, expect: Offsets, offsets: Offsets) -> None:
        lost = frozenset(p for p in owned.partitions if self.tokens.get(p) != owned.token)
        if lost:
            raise FencedError(f"another writer owns {sorted(lost)}", lost)
        moved = {p: o for p, o in expect.items() if self.main.offsets.get(p, 0) != o}
        if moved:
            raise CommitConflictError(f"offsets are not {moved}")
        self.main = Version(self.main.rows + tuple(rows), {**self.main.offsets, **offsets}, self.main)
        self.commits += 1
        self.reached.update({p: max(o, self.reached.get(p, 0)) for p, o in offsets.items()})

    def arrive(self) -> bool:
        """A swap of which nothing was heard reaches the catalog after all; whether it landed."""
        if not self.on_the_way:
            return False
        try:
            self.on_the_way.pop()()
        except (FencedError, CommitConflictError):
            return False
        return True

    def roll_back(self) -> None:
        self.main = self.main.parent or self.main


class MemoryTable(SinkTable):
    """One writer's hold on the store. `fault(name)` is called at head, stage, swap, reply, discard, look-up."""

    def __init__(self, store: Store, fault: Callable[[str], None] = lambda name: None) -> None:
        self.store, self._fault = store, fault
        self.discarded = 0

    def head(self) -> Head:
        self._fault("head")
        main = self.store.main
        return Head(snapshot_id=self.store.commits or None, offsets=main.offsets, topic_ids=dict(self.store.topic_ids))

    def take_over(self, partitions: frozenset[Partition], topic_ids: Mapping[str, str], owner: str) -> Ownership:
        self._fault("take-over")
        self.store.takings += 1
        token = f"{owner}/{self.store.takings}"
        self.store.tokens.update(dict.fromkeys(partitions, token))
        self.store.topic_ids.update(topic_ids)
        return Ownership(token, partitions)

    def check_owned(self, owned: Ownership) -> None:
        lost = frozenset(p for p in owned.partitions if self.store.tokens.get(p) != owned.token)
        if lost:
            raise FencedError("another writer took over", lost)

    def stage(self, rows: pa.Table) -> Staged:
        self._fault("stage")
        return Staged(len(rows), rows.nbytes, rows.to_pylist())

    def commit(self, staged: Staged, owned: Ownership, expect: Offsets, offsets: Offsets) -> Head:
        swap = partial(self.store.swap, list(staged.files), owned, dict(expect), dict(offsets))
        try:
            self._fault("swap")
        except CommitUnknownError:
            self.store.on_the_way.append(swap)
            raise
        swap()
        self._fault("reply")
        return Head(snapshot_id=self.store.commits, offsets=self.store.main.offsets)

    def discard(self, staged: Staged) -> None:
        self._fault("discard")
        self.discarded += 1

    def stored(self) -> StoredIdentities:
        return MemoryIdentities(self.store, self._fault, ChannelFacts(ids="opaque"))

    def maintain(self, *, dry_run: bool = False) -> MaintenanceReport:
        self._fault("maintain")
        return MaintenanceReport(dry_run=dry_run, counts={"files_compacted": 1})


class MemoryIdentities(StoredIdentities):
    """Knows of ids what it is told by `declared`, as real tables do."""

    def __init__(self, store: Store, fault: Callable[[str], None], facts: ChannelFacts) -> None:
        self._store, self._fault, self._facts = store, fault, facts

    def declared(self, facts: Mapping[str, ChannelFacts]) -> MemoryIdentities:
        return MemoryIdentities(self._store, self._fault, facts["binance"])

    def _of(self, partition: Partition) -> list[Row]:
        return [r for r in self._store.main.rows if (r["topic"], r["log_partition"]) == partition]

    def contains(self, batch: IdentityBatch) -> Any:
        self._fault("look-up")
        first: dict[tuple[Stream, str], int] = {}
        for row in self._of(batch.partition):
            key = stream_of(row), row["trade_id"]
            first[key] = min(first.get(key, row["log_offset"]), row["log_offset"])
        keys = [(batch.streams[s], str(i)) for s, i in zip(batch.stream.tolist(), batch.ids.tolist(), strict=True)]
        return np.array([first.get(k, 1 << 62) < o for k, o in zip(keys, batch.offsets.tolist(), strict=True)], bool)

    def load(self, partition: Partition, since_us: int) -> Iterator[IdentityBatch]:
        rows = [r for r in self._of(partition) if r["log_timestamp"] >= since_us]
        for part in (rows[::2], rows[1::2]):  # in no order
            if part:
                yield identities(partition, part, self._facts)

    def marks(self, partition: Partition, before_us: int) -> dict[Stream, int]:
        self._fault("marks")
        found: dict[Stream, int] = {}
        for row in self._of(partition):
            if row["log_timestamp"] < before_us:
                number = number_of(row["trade_id"]) if self._facts.ids != "opaque" else None
                key = row["exchange_timestamp_ms"] if number is None else number
                found[stream_of(row)] = max(key, found.get(stream_of(row), -1))
        return found


def stream_of(row: Row) -> Stream:
    return Stream(row["exchange"], row["symbol"], row["id_epoch"])


def identities(partition: Partition, rows: list[Row], facts: ChannelFacts) -> IdentityBatch:
    streams = sorted({stream_of(r) for r in rows})
    numbers = [number_of(r["trade_id"]) for r in rows]
    texts = np.array([r["trade_id"] for r in rows], object)
    return IdentityBatch(
        data_type="trades", partition=partition, kind=facts.ids, streams=tuple(streams),
        stream=np.array([streams.index(stream_of(r)) for r in rows], np.int32), event_time=facts.event_time,
        ids=texts if None in numbers else np.array(numbers, np.int64),
        order_ms=np.array([r["exchange_timestamp_ms"] for r in rows], np.int64),
        offsets=np.array([r["log_offset"] for r in rows], np.int64),
        timestamps_us=np.array([r["log_timestamp"] for r in rows], np.int64),
    )  # fmt: skip
