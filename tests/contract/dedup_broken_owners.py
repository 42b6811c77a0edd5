"""Dedup stores that break one MUST about owners or the window each, and the one test that has to notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from k2core.clock import Clock
from k2core.errors import DedupError, K2Error
from k2core.interfaces.identities import Stream
from tests.contract.broken import noticing
from tests.contract.dedup_broken import NUMBERS_BELOW
from tests.contract.dedup_model import PLACES, Kept, Key, ModelStore, rows

BROKEN: dict[type[ModelStore], str] = {}


noticed_by = noticing(BROKEN)


@noticed_by("D20")
class KeepsClaimsOfTheDead(ModelStore):
    LEFT: dict[tuple[Path, Any], dict[Key, Any]] = {}  # noqa: RUF012 - what a shared file would be

    def assign(self, partition: Any, offset: int, table: Any) -> None:
        super().assign(partition, offset, table)
        self.flight[partition] |= self.LEFT.pop((self.place, partition), {})

    def close(self) -> None:
        self.LEFT |= {(self.place, p): flight for p, flight in self.flight.items()}


@noticed_by("D21")
class TakesAnUnsettledPartitionForEmpty(ModelStore):
    def loaded(self, table: Any, partition: Any, since_us: int, offset: int) -> Any:
        empty = partition in self.all and self.all[partition].offset == 0
        return [] if empty else super().loaded(table, partition, since_us, offset)


@noticed_by("D22")
class StaysAheadOfTheTable(ModelStore):
    def is_ahead(self, kept: Kept, offset: int) -> bool:
        return False


@noticed_by("D23")
class KeepsClaimsThroughRevoke(ModelStore):
    def revoke(self, partition: Any) -> None:
        self.left = self.flight.get(partition, {})
        super().revoke(partition)

    def assign(self, partition: Any, offset: int, table: Any) -> None:
        super().assign(partition, offset, table)
        self.flight[partition] |= getattr(self, "left", {})


@noticed_by("D24")
class NamesTwoPlacesAlike(ModelStore):
    def __init__(self, place: Path, clock: Clock) -> None:
        super().__init__(place.with_name("o") if place.name[0] == "o" else place, clock)


@noticed_by("D25")
class LosesMostOfItWhenClosed(ModelStore):
    def close(self) -> None:
        for kept in self.all.values():
            kept.held = dict(list(kept.held.items())[-3:])


@noticed_by("D26")
class TrustsAnOldDump(ModelStore):
    def loaded(self, table: Any, partition: Any, since_us: int, offset: int) -> Any:
        return [] if offset else super().loaded(table, partition, since_us, offset)


@noticed_by("D27")
class ClaimsForEverybody(ModelStore):
    ALL: dict[tuple[Path, Any], dict[Key, Any]] = {}  # noqa: RUF012 - what a shared file would be

    def assign(self, partition: Any, offset: int, table: Any) -> None:
        super().assign(partition, offset, table)
        self.flight[partition] = self.ALL.setdefault((self.place, partition), {})

    def revoke(self, partition: Any) -> None:
        self.ALL.pop((self.place, partition), None)
        super().revoke(partition)

    def close(self) -> None:
        for partition in list(self.flight):
            self.revoke(partition)


@noticed_by("D28")
class HeedsNoFence(ModelStore):
    def settle(self, partition: Any, first_offset: int, next_offset: int) -> None:
        self.tokens[partition] = self.all[partition].owner
        super().settle(partition, first_offset, next_offset)


@noticed_by("D29")
class AdmitsOneOwnerInAll(ModelStore):
    OWNERS: dict[Path, ModelStore] = {}  # noqa: RUF012 - what a shared file would be

    def assign(self, partition: Any, offset: int, table: Any) -> None:
        super().assign(partition, offset, table)
        self.OWNERS[self.place] = self

    def settle(self, partition: Any, first_offset: int, next_offset: int) -> None:
        if self.OWNERS[self.place] is not self:
            raise DedupError("another owner took over")
        super().settle(partition, first_offset, next_offset)


@noticed_by("D30")
class IsNotDurable(ModelStore):
    def __init__(self, place: Path, clock: Clock) -> None:
        super().__init__(place, clock)
        if not any(kept.owner for kept in self.all.values() if kept.offset == 0):
            self.all.clear()
        PLACES[place] = self.all


@noticed_by("D40")
class EvictsWithoutAMark(ModelStore):
    def remember(self, kept: Kept, stream: Stream, mark: int) -> None:
        if mark >= NUMBERS_BELOW:
            super().remember(kept, stream, mark)


class TakesTheMarkForAFloor(ModelStore):
    floor = -1

    def counts(self, mark: int) -> bool:
        raise NotImplementedError

    def remember(self, kept: Kept, stream: Stream, mark: int) -> None:
        super().remember(kept, stream, mark)
        self.floor = max(mark, self.floor) if self.counts(mark) else self.floor

    def looked_up(self, batch: Any, kept: Kept) -> set[int]:
        low = [n for n, (_, _, _, mark) in enumerate(rows(self, batch)) if self.counts(mark) and mark <= self.floor]
        return super().looked_up(batch, kept) | set(low)


@noticed_by("D41")
class TakesLowIdsForCopies(TakesTheMarkForAFloor):
    def counts(self, mark: int) -> bool:
        return 0 <= mark < NUMBERS_BELOW


@noticed_by("D42")
class TakesOldTimesForCopies(TakesTheMarkForAFloor):
    def counts(self, mark: int) -> bool:
        return mark >= NUMBERS_BELOW


@noticed_by("D43")
class TrustsReceivedTimes(ModelStore):
    def mark(self, batch: Any, n: int, text: str) -> int:
        return int(batch.order_ms[n]) if batch.event_time == "received" else super().mark(batch, n, text)


@noticed_by("D44")
class TakesNoMarksFromTheTable(ModelStore):
    def assign(self, partition: Any, offset: int, table: Any) -> None:
        super().assign(partition, offset, table)
        self.all[partition].marks.clear()


@noticed_by("D45")
class EvictsWhatIsInFlight(ModelStore):
    def evict(self, now_us: int) -> None:
        super().evict(now_us)
        for flight in self.flight.values():
            flight.clear()


@noticed_by("D46")
class GuessesWhileTheTableIsAway(ModelStore):
    def looked_up(self, batch: Any, kept: Kept) -> set[int]:
        try:
            return super().looked_up(batch, kept)
        except K2Error:
            return set()


@noticed_by("D46")
class ClaimsBeforeItKnows(ModelStore):
    def looked_up(self, batch: Any, kept: Kept) -> set[int]:
        try:
            return super().looked_up(batch, kept)
        except K2Error:
            self.flight[batch.partition] |= {key: tuple(facts) for key, *facts in rows(self, batch)}
            raise


@noticed_by("D47")
class TakesNoLateClaims(ModelStore):
    def claim(self, batch: Any) -> Any:
        found = super().claim(batch)
        kept, flight = self.all[batch.partition], self.flight[batch.partition]
        for key, _, _, mark in rows(self, batch):
            if 0 <= mark <= kept.marks.get(key[0], -1):
                flight.pop(key, None)
        return found


@noticed_by("D48")
class AlwaysAsksTheTable(ModelStore):
    def below(self, mark: int, kept: Kept, key: Key) -> bool:
        return True


@noticed_by("D49")
class StartsWithoutTheTable(ModelStore):
    def assign(self, partition: Any, offset: int, table: Any) -> None:
        try:
            super().assign(partition, offset, table)
        except K2Error:
            self.flight[partition] = {}
