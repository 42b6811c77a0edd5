"""Sinks that break one MUST each, and the one test that has to notice."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pyarrow as pa

from k2core.errors import CommitConflictError
from k2core.interfaces.sink import Head, LogFacts, Ownership, SinkTable, Staged
from k2core.testing.memory_sink import MemoryLake, MemorySink, MemorySinkTable
from tests.contract.broken import noticing

BROKEN: dict[type[MemorySinkTable], str] = {}


noticed_by = noticing(BROKEN)


class BrokenSink(MemorySink):
    """A sink whose tables are of a broken class."""

    def __init__(self, tables: dict[str, MemoryLake], broken: type[MemorySinkTable]) -> None:
        super().__init__(tables)
        self.broken = broken

    def table(self, data_type: Any) -> SinkTable:
        opened: Any = getattr(self.broken, "opened", None)
        made = opened(self, data_type) if opened else super().table(data_type)
        return self.broken(made.lake)


def landed(lake: MemoryLake, rows: list[Any], offsets: Any) -> None:
    """A commit without any check."""
    lake.commit(rows, offsets)


@noticed_by("S01")
class MakesASnapshotAtOnce(MemorySinkTable):
    def head(self) -> Head:
        head = super().head()
        return replace(head, snapshot_id=0) if head.snapshot_id is None else head


@noticed_by("S02")
class StoresPlainNullsAsEmptyText(MemorySinkTable):
    def stage(self, rows: Any) -> Staged:
        staged = super().stage(rows)
        if pa.types.is_dictionary(rows.schema.field("symbol").type):
            return staged
        return Staged(staged.rows, staged.bytes, [{**r, "side": r["side"] or ""} for r in staged.files])


@noticed_by("S03")
class ShowsWhatIsStaged(MemorySinkTable):
    def stage(self, rows: Any) -> Staged:
        staged = super().stage(rows)
        if len(self.lake.rows) * 3 == staged.rows * 2 and set(self.lake.tokens.values()) == {"one/1"}:
            landed(self.lake, list(staged.files), {})
        return staged


@noticed_by("S04")
class ForgetsTopicIds(MemorySinkTable):
    def head(self) -> Head:
        head = super().head()
        return replace(head, topic_ids=dict.fromkeys(head.topic_ids, "id")) if len(head.topic_ids) == 1 else head


@noticed_by("S04")
class AnswersWithTheFormerHead(MemorySinkTable):
    def commit(self, *given: Any, **named: Any) -> Head:
        before = self.head()
        now = super().commit(*given, **named)
        return now if not given[0].files else before


@noticed_by("S05")
class WritesOffsetsInACommitOfTheirOwn(MemorySinkTable):
    def commit(self, staged: Staged, owned: Ownership, expect: Any, offsets: Any, facts: Any = None) -> Head:
        self.lake.check(owned)
        if any(self.lake.offsets.get(p, 0) != expect.get(p, 0) or o < expect.get(p, 0) for p, o in offsets.items()):
            return super().commit(staged, owned, expect, offsets, facts)
        if set(offsets) - owned.partitions:
            return super().commit(staged, owned, expect, offsets, facts)
        if staged.files and staged.rows == len(offsets):
            landed(self.lake, list(staged.files), {})
            time.sleep(0.02)
            staged = Staged(0, 0, [])
        return super().commit(staged, owned, expect, offsets, facts)


@noticed_by("S06")
class SkipsEmptyCommits(MemorySinkTable):
    def commit(self, staged: Staged, owned: Ownership, expect: Any, offsets: Any, facts: Any = None) -> Head:
        nothing = not staged.rows and facts is None and all(o >= expect.get(p, 0) for p, o in offsets.items())
        return self.head() if nothing and set(offsets) <= owned.partitions else super().commit(staged, owned, expect, offsets, facts)  # fmt: skip


@noticed_by("S07")
class ExpectsNothing(MemorySinkTable):
    def commit(self, staged: Staged, owned: Ownership, expect: Any, offsets: Any, facts: Any = None) -> Head:
        there = {p: self.lake.offsets.get(p, 0) for p in owned.partitions}
        return super().commit(staged, owned, there, offsets, facts)


@noticed_by("S08")
class GoesBack(MemorySinkTable):
    def commit(self, staged: Staged, owned: Ownership, expect: Any, offsets: Any, facts: Any = None) -> Head:
        there = self.lake.offsets
        if any(o < there.get(p, 0) for p, o in offsets.items()):
            landed(self.lake, [], {p: o for p, o in offsets.items() if p in owned.partitions})
            return self.head()
        return super().commit(staged, owned, expect, offsets, facts)


@noticed_by("S09")
class MovesWhatIsNotOwned(MemorySinkTable):
    def commit(self, staged: Staged, owned: Ownership, expect: Any, offsets: Any, facts: Any = None) -> Head:
        if strange := set(offsets) - owned.partitions:
            landed(self.lake, [], {p: offsets[p] for p in strange})
            return self.head()
        return super().commit(staged, owned, expect, offsets, facts)


@noticed_by("S10")
class KeepsOneTopic(MemorySinkTable):
    def commit(self, staged: Staged, owned: Ownership, *given: Any) -> Head:
        head = super().commit(staged, owned, *given)
        mine = {t for t, _ in owned.partitions}
        if others := [p for p in self.lake.offsets if p[0] not in mine]:
            kept = {p: o for p, o in self.lake.offsets.items() if p not in others}
            self.lake._head = replace(self.lake.newest(), offsets=kept)
        return head


@noticed_by("S11")
class StagesOneAtATime(MemorySinkTable):
    def stage(self, rows: Any) -> Staged:
        staged = super().stage(rows)
        self.newest = staged
        return staged

    def commit(self, staged: Staged, *given: Any, **named: Any) -> Head:
        if staged.rows == 2 * len(self.lake.tokens) and staged is not self.newest:
            raise CommitConflictError("these files were overwritten by the next ones")
        return super().commit(staged, *given, **named)


@noticed_by("S12")
class KeepsStampsForEver(MemorySinkTable):
    def commit(self, *given: Any, **named: Any) -> Head:
        before = self.lake.newest().stamps
        head = super().commit(*given, **named)
        self.lake._head = replace(self.lake.newest(), stamps={**before, **self.lake.newest().stamps})
        return head


@noticed_by("S12")
class ForgetsWhatIsGone(MemorySinkTable):
    def commit(self, staged: Any, owned: Any, expect: Any, offsets: Any, facts: LogFacts | None = None) -> Head:
        self.lake._head = replace(self.lake.newest(), gone=())
        return super().commit(staged, owned, expect, offsets, facts)


@noticed_by("S13")
class StoresWhatWasDiscarded(MemorySinkTable):
    def discard(self, staged: Staged) -> None:
        landed(self.lake, list(staged.files), {})


@noticed_by("S14")
class DropsLargeRemainders(MemorySinkTable):
    def stage(self, rows: Any) -> Staged:
        return super().stage(rows.slice(0, 1024))


@noticed_by("S15")
class HasOneTableForAll(MemorySinkTable):
    @staticmethod
    def opened(sink: Any, data_type: Any) -> Any:
        return MemorySink.table(sink, data_type)

    def commit(self, staged: Staged, owned: Ownership, expect: Any, offsets: Any, facts: Any = None) -> Head:
        head = super().commit(staged, owned, expect, offsets, facts)
        if self.lake.data_type.name == "quotes":
            self.lake.commit([], {p: o + 1 for p, o in offsets.items()})
        return head


@noticed_by("S16")
class ForgetsWhatWasShed(MemorySinkTable):
    def restore(self, done: Any) -> Head:
        self.lake._head = replace(self.lake.newest(), shed=())
        return self.head()
