"""The table of a world: what outlives every process (`Lake`), a writer's hold on it, and a server's view of it.

Rows, snapshots and look-ups are `MemoryTable`'s. Owners' tokens stand beside them, as a rollback leaves them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from k2core.errors import CommitConflictError, CommitUnknownError, FencedError
from k2core.interfaces.broker import Offsets, Partition
from k2core.interfaces.dedup import StoredIdentities
from k2core.interfaces.identities import IdentityBatch, Stream
from k2core.interfaces.query import Scanned, Selection, Snapshot, SourceTable
from k2core.interfaces.shed import Shed
from k2core.interfaces.sink import Head, LogFacts, MaintenanceReport, Ownership, SinkTable, Staged
from k2core.testing.memory_table import MemoryTable
from tests.simulation.log import Fault


class Lake(MemoryTable):
    """Snapshots, tokens, and swaps of which nobody has heard yet. Every change of any kind is a new `version`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.tokens: dict[Partition, str] = {}
        self.topic_ids: dict[str, str] = {}
        self.version = 0
        self.shed_of: dict[int | None, tuple[Shed, ...]] = {None: ()}
        self.on_the_way: list[tuple[int, Callable[[], object]]] = []

    def take(self, partitions: frozenset[Partition], owner: str) -> Ownership:
        self.version += 1
        token = f"{owner}/{self.version}"
        self.tokens.update(dict.fromkeys(partitions, token))
        return Ownership(token, partitions)

    def check(self, owned: Ownership, expect: Offsets) -> int:
        """Look before a swap, as the real sink does; what the swap is conditioned on."""
        lost = frozenset(p for p in owned.partitions if self.tokens.get(p) != owned.token)
        if lost:
            raise FencedError(f"another writer owns {sorted(lost)}", lost)
        there = self.newest().offsets
        if moved := sorted(p for p, o in expect.items() if there.get(p, 0) != o):
            raise CommitConflictError(f"offsets of {moved} are not as expected")
        return self.version

    def rollback(self, snapshot_id: int) -> None:
        self.version += 1
        super().rollback(snapshot_id)

    def expire(self, keep: int) -> None:
        self.version += 1
        super().expire(keep)

    def _land(
        self, rows: Any, offsets: Offsets, facts: LogFacts | None = None, shed: tuple[Shed, ...] | None = None
    ) -> Snapshot:
        self.version += 1
        landed = super()._land(rows, offsets, facts, shed)
        self.shed_of[landed.id] = landed.shed
        return landed

    def arrive(self) -> bool:
        """A swap of which nothing was heard reaches the catalog after all; whether it landed."""
        base, swap = self.on_the_way.pop()
        if base == self.version:
            swap()
        return base + 1 == self.version

    def older(self, held: Mapping[Partition, int]) -> list[int]:
        """Ancestors that `main` may be set back to: alive, and the log still has what follows them."""
        found = [s for i in self.ancestors()[1:] if (s := self._snapshots[i]).extra is not None]
        return [s.id for s in found if s.id and all(s.offsets.get(p, 0) >= first for p, first in held.items())]


class SimTable(SinkTable):
    """One writer's hold on the lake. `fault` is called with a name at each step and may raise."""

    def __init__(self, lake: Lake, fault: Fault) -> None:
        self._lake, self._fault = lake, fault

    def head(self) -> Head:
        self._fault("head")
        newest = self._lake.newest()
        ids = dict(self._lake.topic_ids)
        return Head(
            snapshot_id=newest.id, offsets=newest.offsets, topic_ids=ids, stamps=newest.stamps, gone=newest.gone,
            shed=newest.shed,
        )  # fmt: skip

    def take_over(self, partitions: frozenset[Partition], topic_ids: Mapping[str, str], owner: str) -> Ownership:
        self._fault("take-over")
        self._lake.topic_ids.update(topic_ids)
        return self._lake.take(partitions, owner)

    def check_owned(self, owned: Ownership) -> None:
        self._lake.check(owned, {})

    def stage(self, rows: pa.Table) -> Staged:
        self._fault("stage")
        return Staged(len(rows), rows.nbytes, rows.to_pylist())

    def commit(
        self, staged: Staged, owned: Ownership, expect: Offsets, offsets: Offsets, facts: LogFacts | None = None
    ) -> Head:
        swap = partial(self._lake.commit, list(staged.files), dict(offsets), facts)
        while True:
            base = self._lake.check(owned, expect)
            try:
                self._fault("swap")
            except CommitUnknownError:
                self._lake.on_the_way.append((base, swap))
                raise
            if self._lake.version == base:
                break
            self._fault("raced")  # somebody was faster: look again
        swap()
        self._fault("reply")
        newest = self._lake.newest()
        return Head(snapshot_id=newest.id, offsets=newest.offsets, stamps=newest.stamps, gone=newest.gone)

    def restore(self, done: Sequence[Shed]) -> Head:
        self._lake.restore(done)
        return self.head()

    def discard(self, staged: Staged) -> None:
        self._fault("discard")

    def stored(self) -> StoredIdentities:
        return _FaultyIdentities(self._lake.stored(), self._fault)

    def maintain(self, *, dry_run: bool = False) -> MaintenanceReport:
        self._lake.compact()
        return MaintenanceReport(dry_run=dry_run, counts={"files_compacted": 1})


class _FaultyIdentities(StoredIdentities):
    def __init__(self, inner: StoredIdentities, fault: Fault) -> None:
        self._inner, self._fault = inner, fault

    def contains(self, batch: IdentityBatch) -> Any:
        self._fault("look-up")
        return self._inner.contains(batch)

    def load(self, partition: Partition, since_us: int) -> Iterator[IdentityBatch]:
        self._fault("load")
        return self._inner.load(partition, since_us)

    def marks(self, partition: Partition, before_us: int) -> dict[Stream, int]:
        return self._inner.marks(partition, before_us)


class SimSource(SourceTable):
    """One server's view of the lake. `between` is called before and after the head is read, and may let things happen."""

    def __init__(self, lake: Lake, between: Fault) -> None:
        self._lake, self._between = lake, between

    def newest(self) -> Snapshot:
        self._between("before head")
        newest = self._lake.newest()
        self._between("after head")
        return newest

    def snapshot(self, snapshot_id: int) -> Snapshot:
        return self._lake.snapshot(snapshot_id)

    def contains_snapshot(self, snapshot_id: int) -> bool:
        return self._lake.contains_snapshot(snapshot_id)

    def scan(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        self._between("before scan")
        return self._lake.scan(snapshot, selection, timeout=timeout)

    def ohlcv(
        self, snapshot: Snapshot, selection: Selection, interval_ms: int, *, price: str, quantity: str, timeout: float
    ) -> Scanned:
        return self._lake.ohlcv(snapshot, selection, interval_ms, price=price, quantity=quantity, timeout=timeout)

    def symbols(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        return self._lake.symbols(snapshot, selection, timeout=timeout)

    def stored(self, snapshot: Snapshot | None = None) -> StoredIdentities:
        return self._lake.stored(snapshot)
