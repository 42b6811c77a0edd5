"""Query sources that break one MUST each, and the one test that has to notice."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pyarrow as pa

from k2core.errors import QueryError
from k2core.interfaces.dedup import StoredIdentities
from k2core.interfaces.query import Scanned, Selection, Snapshot, SourceTable
from k2core.testing.memory_sink import MemoryLake, MemorySource
from tests.contract.broken import noticing


class ModelTable(SourceTable):
    """Reads a `MemoryLake`; `delay_s` is how long a scan takes."""

    delay_s = 0.0

    def __init__(self, lake: MemoryLake) -> None:
        self.lake = lake

    def newest(self) -> Snapshot:
        return self.lake.newest()

    def snapshot(self, snapshot_id: int) -> Snapshot:
        return self.lake.snapshot(snapshot_id)

    def contains_snapshot(self, snapshot_id: int) -> bool:
        return self.lake.contains_snapshot(snapshot_id)

    def scan(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        if self.delay_s > timeout:
            raise QueryError("the query took too long", kind="timeout", status=503)
        return self.lake.scan(snapshot, selection, timeout=timeout)

    def ohlcv(self, snapshot: Snapshot, selection: Selection, interval_ms: int, **named: Any) -> Scanned:
        return self.lake.ohlcv(snapshot, selection, interval_ms, **named)

    def symbols(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        return self.lake.symbols(snapshot, selection, timeout=timeout)

    def stored(self, snapshot: Snapshot | None = None) -> StoredIdentities:
        return self.lake.stored(snapshot)


class ModelSource(MemorySource):
    """A source whose tables are of a given class."""

    def __init__(self, tables: dict[str, MemoryLake], made: type[ModelTable]) -> None:
        super().__init__(tables)
        self.made = made

    def table(self, data_type: Any) -> SourceTable:
        lake: Any = super().table(data_type)
        return self.made(lake)


BROKEN: dict[type[ModelTable], str] = {}


noticed_by = noticing(BROKEN)


def plain(s: Selection) -> bool:
    """Whether a selection asks for nothing but rows below offsets, in some order."""
    return s == Selection(below=s.below, descending=s.descending)


class Changed(ModelTable):
    """Scans with another selection."""

    def change(self, s: Selection) -> Selection:
        raise NotImplementedError

    def scan(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        return super().scan(snapshot, self.change(selection), timeout=timeout)


@noticed_by("Q01")
class GivesPlainStrings(ModelTable):
    def scan(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        found = super().scan(snapshot, selection, timeout=timeout)
        if snapshot.id is None:
            return found
        at = found.rows.schema.get_field_index("symbol")
        return Scanned(rows=found.rows.set_column(at, "symbol", found.rows["symbol"].cast(pa.string())) if at >= 0 else found.rows)  # fmt: skip


@noticed_by("Q02")
class BreaksTiesAnyhow(ModelTable):
    def scan(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        found = super().scan(snapshot, selection, timeout=timeout)
        if not plain(selection) or selection.descending or "price" not in found.rows.column_names or len(snapshot.extra) != 14 * 7:  # fmt: skip
            return found
        return Scanned(rows=found.rows.sort_by([("exchange_timestamp_ms", "ascending"), ("price", "ascending")]))


@noticed_by("Q03")
class IgnoresTheLimit(Changed):
    def change(self, s: Selection) -> Selection:
        return replace(s, limit=None) if s.limit == 20 or s.limit == 0 else s


@noticed_by("Q03")
class LimitsFromTheWrongEnd(ModelTable):
    def scan(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        if selection.limit != 5:
            return super().scan(snapshot, selection, timeout=timeout)
        rows = super().scan(snapshot, replace(selection, limit=None), timeout=timeout).rows
        return Scanned(rows=rows.slice(max(0, len(rows) - 5)))


@noticed_by("Q04")
class RepeatsTheLastRowOfAPage(Changed):
    def change(self, s: Selection) -> Selection:
        if s.after is None or s.symbols:
            return s
        ms, topic, partition, offset = s.after
        return replace(s, after=(ms, topic, partition, offset + (1 if s.descending else -1)))


@noticed_by("Q05")
class IncludesTheEnd(Changed):
    def change(self, s: Selection) -> Selection:
        return replace(s, end_ms=s.end_ms + 1) if s.end_ms is not None and not s.symbols else s


@noticed_by("Q05")
class LeavesTheStartOut(Changed):
    def change(self, s: Selection) -> Selection:
        return replace(s, start_ms=s.start_ms + 1) if s.start_ms is not None and not s.symbols else s


@noticed_by("Q06")
class LeavesAsOfOut(Changed):
    def change(self, s: Selection) -> Selection:
        return replace(s, as_of_us=s.as_of_us - 1) if s.as_of_us is not None and not s.symbols else s


@noticed_by("Q07")
class TakesNoSymbolsForAll(Changed):
    def change(self, s: Selection) -> Selection:
        return replace(s, symbols=s.symbols or None, exchanges=s.exchanges or None)


@noticed_by("Q07")
class ForgetsExchanges(Changed):
    def change(self, s: Selection) -> Selection:
        return replace(s, exchanges=None) if s.exchanges == ("kraken",) else s


@noticed_by("Q08")
class MatchesPatterns(Changed):
    def change(self, s: Selection) -> Selection:
        return replace(s, symbols=None) if s.symbols == ("%",) else s


@noticed_by("Q09")
class TakesUnnamedPartitionsForWhole(ModelTable):
    def scan(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        below = {**snapshot.offsets, **selection.below}
        return super().scan(snapshot, replace(selection, below=below), timeout=timeout)


@noticed_by("Q09")
class CountsUpToTheOffset(Changed):
    def change(self, s: Selection) -> Selection:
        return replace(s, below={p: o + (0 < o < 9) for p, o in s.below.items()}) if plain(s) and 3 in s.below.values() and 10 in s.below.values() else s  # fmt: skip


@noticed_by("Q10")
class GivesEveryColumn(Changed):
    def change(self, s: Selection) -> Selection:
        return replace(s, columns=None) if s.columns == ("price", "symbol") else s


@noticed_by("Q10")
class IgnoresUnknownColumns(Changed):
    def change(self, s: Selection) -> Selection:
        return replace(s, columns=tuple(c for c in s.columns if ";" not in c)) if s.columns else s


@noticed_by("Q11")
class ForgetsTheTimeBesideSymbols(Changed):
    def change(self, s: Selection) -> Selection:
        return replace(s, start_ms=None, end_ms=None) if s.symbols and s.as_of_us else s


@noticed_by("Q12")
class TakesTheFirstPriceForTheLast(ModelTable):
    def ohlcv(self, snapshot: Snapshot, selection: Selection, interval_ms: int, **named: Any) -> Scanned:
        rows = super().ohlcv(snapshot, selection, interval_ms, **named).rows
        return Scanned(rows=rows.set_column(rows.schema.get_field_index("close"), "close", rows["open"]))


@noticed_by("Q13")
class CountsSymbolsOfAllExchanges(ModelTable):
    def symbols(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        return super().symbols(snapshot, replace(selection, exchanges=None), timeout=timeout)


@noticed_by("Q14")
class TakesItsTime(ModelTable):
    def scan(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        time.sleep(self.delay_s)
        return self.lake.scan(snapshot, selection, timeout=timeout)


@noticed_by("Q20")
class CallsAnEmptyTableMissing(ModelTable):
    def newest(self) -> Snapshot:
        if self.lake.data_type.name == "quotes":
            raise QueryError("there is no such table", kind="table-unreadable", status=500)
        return super().newest()


@noticed_by("Q21")
class SeesCommitsLater(ModelTable):
    def newest(self) -> Snapshot:
        newest = super().newest()
        second = set(newest.offsets.values()) == {5} and newest.parent_id is not None
        return self.lake.snapshot(newest.parent_id or 0) if second else newest


@noticed_by("Q22")
class FollowsTheHead(ModelTable):
    def scan(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        beyond = any(0 < o - snapshot.offsets.get(p, 0) == 100 for p, o in selection.below.items())
        return super().scan(self.newest() if beyond else snapshot, selection, timeout=timeout)


@noticed_by("Q23")
class CutsAtCommits(ModelTable):
    def scan(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        older = set(selection.below.values()) == {4} and set(snapshot.offsets.values()) == {8}
        return super().scan(snapshot, replace(selection, below={}) if older else selection, timeout=timeout)


@noticed_by("Q24")
class GivesTheHeadsOffsets(ModelTable):
    def snapshot(self, snapshot_id: int) -> Snapshot:
        return replace(super().snapshot(snapshot_id), offsets=self.newest().offsets)


@noticed_by("Q25")
class GivesTheNearest(ModelTable):
    def snapshot(self, snapshot_id: int) -> Snapshot:
        return super().snapshot(snapshot_id) if self.contains_snapshot(snapshot_id) else self.newest()


@noticed_by("Q26")
class ReadsRowsOfTheNextCommit(ModelTable):
    def scan(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        if selection.columns != ():
            return super().scan(snapshot, selection, timeout=timeout)
        time.sleep(0.002)
        return super().scan(self.newest(), selection, timeout=timeout)


@noticed_by("Q27")
class LooksUpAtTheHead(ModelTable):
    def stored(self, snapshot: Snapshot | None = None) -> StoredIdentities:
        return self.lake.stored()


@noticed_by("Q28")
class ForgetsWhenClosed(ModelTable):
    def scan(self, snapshot: Snapshot, selection: Selection, *, timeout: float) -> Scanned:
        first: Any = self.lake.__dict__.setdefault("first", self)
        forgets = first is not self and snapshot.id is not None
        return super().scan(snapshot, replace(selection, limit=1) if forgets else selection, timeout=timeout)
