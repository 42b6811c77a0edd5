"""Sinks that break one MUST about owners or tables each, and the one test that has to notice."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from k2core.errors import CommitConflictError, CommitUnknownError, FencedError
from k2core.interfaces.sink import Head, Ownership, Staged
from k2core.testing.memory_sink import MemoryIdentities, MemorySink, MemorySinkTable
from tests.contract.broken import noticing
from tests.contract.sink_broken import landed

BROKEN: dict[type[MemorySinkTable], str] = {}


noticed_by = noticing(BROKEN)


@noticed_by("S20")
class IgnoresTheFence(MemorySinkTable):
    def commit(self, staged: Staged, owned: Ownership, expect: Any, offsets: Any, facts: Any = None) -> Head:
        lost = {p for p in owned.partitions if self.lake.tokens.get(p) != owned.token}
        wakes = lost == owned.partitions and owned.token.startswith("first") and len(lost) > 1
        newest = Ownership(next(iter(self.lake.tokens.values())), owned.partitions) if wakes else owned
        return super().commit(staged, newest, expect, offsets, facts)


@noticed_by("S21")
class FencesNobodyForAFew(MemorySinkTable):
    def commit(self, staged: Staged, owned: Ownership, expect: Any, offsets: Any, facts: Any = None) -> Head:
        lost = {p for p in owned.partitions if self.lake.tokens.get(p) != owned.token}
        if 0 < len(lost) < len(owned.partitions):
            raise FencedError("fenced", owned.partitions)
        return super().commit(staged, owned, expect, offsets, facts)


@noticed_by("S22")
class NeverFindsTheFence(MemorySinkTable):
    def check_owned(self, owned: Ownership) -> None:
        """Whatever happened."""


@noticed_by("S23")
class KnowsOwnersByName(MemorySinkTable):
    def take_over(self, partitions: Any, topic_ids: Any, owner: str) -> Ownership:
        owned = super().take_over(partitions, topic_ids, owner)
        if ":" not in owner:
            return owned
        self.lake.tokens.update(dict.fromkeys(partitions, owner))
        return Ownership(owner, partitions)


@noticed_by("S24")
class SwapsWithoutComparing(MemorySinkTable):
    def commit(self, staged: Staged, owned: Ownership, expect: Any, offsets: Any, facts: Any = None) -> Head:
        base = self.lake.newest()
        if owned.token[:2] in ("a/", "b/"):
            time.sleep(0.005)
            others = {p: o for p, o in self.lake.offsets.items() if p in owned.partitions}
            self.lake._head = replace(self.lake.newest(), extra=base.extra, offsets={**base.offsets, **others})
        return super().commit(staged, owned, expect, offsets, facts)


@noticed_by("S25")
class StartsWithAnEmptyCommit(MemorySinkTable):
    def take_over(self, partitions: Any, topic_ids: Any, owner: str) -> Ownership:
        if owner == "killed" and self.lake.newest().id is not None:
            self.lake.compact()
        return super().take_over(partitions, topic_ids, owner)


@noticed_by("S26")
class AdoptsStrayFiles(MemorySinkTable):
    def stage(self, rows: Any) -> Staged:
        staged = super().stage(rows)
        if (
            self.lake.takings == 1
            and self.lake.newest().id == 1
            and next(iter(self.lake.tokens.values())) == "killed/1"
        ):
            self.lake.__dict__["stray"] = staged
        return staged

    def take_over(self, partitions: Any, topic_ids: Any, owner: str) -> Ownership:
        if stray := self.lake.__dict__.pop("stray", None):
            landed(self.lake, list(stray.files), {})
        return super().take_over(partitions, topic_ids, owner)


@noticed_by("S27")
class LosesTheLastCommitOfTheDead(MemorySinkTable):
    def take_over(self, partitions: Any, topic_ids: Any, owner: str) -> Ownership:
        if owner in ("killed 1", "killed 2"):
            self.lake.roll_back()
        return super().take_over(partitions, topic_ids, owner)


@noticed_by("S28")
class TakesALostReplyForAFailure(MemorySinkTable):
    def commit(self, *given: Any, **named: Any) -> Head:
        try:
            return super().commit(*given, **named)
        except CommitUnknownError as error:
            raise CommitConflictError("nothing landed") from error


@noticed_by("S30")
class AddsNothing(MemorySinkTable):
    def stage(self, rows: Any) -> Staged:
        staged = super().stage(rows)
        return Staged(staged.rows, staged.bytes, [{n: v for n, v in r.items() if n != "venue"} for r in staged.files])


@noticed_by("S31")
class TakesAnyColumns(MemorySinkTable):
    @staticmethod
    def opened(sink: Any, data_type: Any) -> Any:
        if data_type.name in sink.tables and not sink.tables[data_type.name].data_type.table_schema.equals(data_type.table_schema):  # fmt: skip
            sink.tables[data_type.name].data_type = data_type
        return MemorySink.table(sink, data_type)


class Lookups(MemorySinkTable):
    """Look-ups of another class."""

    asks: type[MemoryIdentities] = MemoryIdentities

    def stored(self) -> Any:
        return self.asks(self.lake, lambda name: None, {})


@noticed_by("S32")
class FindsARecordItself(Lookups):
    class asks(MemoryIdentities):  # noqa: N801 - stands for the attribute
        def declared(self, facts: Any) -> Any:
            return type(self)(self._lake, self._fault, facts)

        def contains(self, batch: Any) -> Any:
            return super().contains(replace(batch, offsets=batch.offsets + 1))


@noticed_by("S33")
class LoadsFromLaterOn(Lookups):
    class asks(MemoryIdentities):  # noqa: N801 - stands for the attribute
        def declared(self, facts: Any) -> Any:
            return type(self)(self._lake, self._fault, facts)

        def load(self, partition: Any, since_us: int) -> Any:
            return super().load(partition, since_us + 1)


@noticed_by("S34")
class MarksTooLow(Lookups):
    class asks(MemoryIdentities):  # noqa: N801 - stands for the attribute
        def declared(self, facts: Any) -> Any:
            return type(self)(self._lake, self._fault, facts)

        def marks(self, partition: Any, before_us: int) -> Any:
            return super().marks(partition, before_us - 2_000_000)


@noticed_by("S35")
class LosesRowsInUpkeep(MemorySinkTable):
    def maintain(self, *, dry_run: bool = False) -> Any:
        report = super().maintain(dry_run=dry_run)
        if not dry_run and self.lake.commits == 4 and len(self.lake.rows) == 8 * len(self.lake.tokens):
            self.lake._head = replace(self.lake.newest(), extra=self.lake.rows[1:])
        return report


@noticed_by("S35")
class ChangesThingsInADryRun(MemorySinkTable):
    def maintain(self, *, dry_run: bool = False) -> Any:
        return replace(super().maintain(), dry_run=dry_run)


@noticed_by("S36")
class CannotBeKeptBesideCommits(MemorySinkTable):
    def maintain(self, *, dry_run: bool = False) -> Any:
        before = self.lake.newest()
        report = super().maintain(dry_run=dry_run)
        if len(self.lake.ancestors()) < 5 or self.lake.commits == 3:
            time.sleep(0.05)
            if self.lake.commits > 3:
                self.lake._head = before
        return report


@noticed_by("S40")
class ForgetsWhatItOwned(MemorySinkTable):
    def take_more(self, owned: Ownership, partitions: Any, topic_ids: Any, owner: str) -> Ownership:
        return self.take_over(partitions, topic_ids, owner)


@noticed_by("S41")
class RefusesAllForOne(MemorySinkTable):
    def commit(self, *given: Any, **named: Any) -> Head:
        if self.lake.__dict__.pop("spoilt", False):
            raise CommitConflictError("somebody else's commit was refused")
        try:
            return super().commit(*given, **named)
        except FencedError:
            self.lake.__dict__["spoilt"] = given[1].token.startswith("lost")
            raise
