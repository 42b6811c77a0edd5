"""MUSTs of a dedup store about what it no longer holds: a mark and the table stand for it, and nothing expires."""

from __future__ import annotations

from pathlib import Path

import pytest

from k2core.errors import DedupError, K2Error
from k2core.testing.conformance.dedup_world import (
    ETH,
    PLACE,
    START_US,
    DedupFacts,
    KnownTable,
    claimed,
    identities,
)

START_MS = START_US // 1000


class WindowTests(DedupFacts):
    """Eviction, rows older than the window, late ids, a table that is away."""

    @property
    def late_us(self) -> int:
        """A time at which everything appended at the start has left the window."""
        return START_US + 3 * int(self.window_s * 1e6)

    def test_D40_what_left_the_window_is_still_a_duplicate(self, tmp_path: Path) -> None:
        """Numbers: the table is asked for what lies at or below the mark, however old."""
        for kind in ("contiguous", "increasing"):
            stored = identities([10, 11, 14], kind=kind)
            store, table = self.open(tmp_path / kind, self.clock()), KnownTable()
            store.assign(PLACE, 0, table)
            claimed(store, stored)
            table.stored.append(stored)
            store.settle(PLACE, 0, 3)
            store.evict(self.late_us)
            assert claimed(store, identities([11, 14, 15], 3, kind=kind, at_us=self.late_us)) == [False, False, True]
            store.close()

    def test_D41_a_late_id_that_nobody_stored_is_new_at_any_age(self, tmp_path: Path) -> None:
        """A floor, a high-water mark or a time to live that calls it old loses a row."""
        for kind in ("contiguous", "increasing"):
            store, table = self.open(tmp_path / kind, self.clock()), KnownTable()
            store.assign(PLACE, 0, table)
            stored = identities([10, 11, 14], kind=kind)
            claimed(store, stored)
            table.stored.append(stored)
            store.settle(PLACE, 0, 3)
            store.evict(self.late_us)
            assert claimed(store, identities([12, 3, 13], 3, kind=kind, at_us=self.late_us)) == [True, True, True]
            store.close()

    def test_D42_opaque_ids_are_remembered_by_event_time(self, tmp_path: Path) -> None:
        """A copy has the event time of the first, so what is not above the mark of times is looked up."""
        store, table = self.open(tmp_path, self.clock()), KnownTable()
        store.assign(PLACE, 0, table)
        stored = identities(["x", "b"], kind="opaque", order_ms=[START_MS, START_MS + 5])
        claimed(store, stored)
        table.stored.append(stored)
        store.settle(PLACE, 0, 2)
        store.evict(self.late_us)
        late = identities(
            ["b", "a", "z"], 2, kind="opaque", at_us=self.late_us, order_ms=[START_MS + 5, START_MS + 1, START_MS + 9]
        )
        assert claimed(store, late) == [False, True, True]

    def test_D43_received_times_vouch_for_nothing(self, tmp_path: Path) -> None:
        """Each copy has another: opaque ids with such times that are not held are looked up, always."""
        store, table = self.open(tmp_path, self.clock()), KnownTable()
        store.assign(PLACE, 0, table)
        stored = identities(["x", "b"], kind="opaque", event_time="received")
        claimed(store, stored)
        table.stored.append(stored)
        store.settle(PLACE, 0, 2)
        store.evict(self.late_us)
        late = identities(["b", "c"], 2, kind="opaque", at_us=self.late_us, event_time="received")
        assert claimed(store, late) == [False, True]

    def test_D44_rows_older_than_the_window_are_known_from_the_start(self, tmp_path: Path) -> None:
        """`assign` need not load them; their marks must lead to the table."""
        for kind in ("contiguous", "increasing", "opaque"):
            old = identities([10, 12], kind=kind, at_us=START_US)
            young = identities([13, 15], 2, kind=kind, at_us=self.late_us)
            clock = self.clock()
            clock.set(self.late_us * 1000)
            store = self.open(tmp_path / kind, clock)
            store.assign(PLACE, 4, KnownTable(old, young))
            times = [START_MS, START_MS, self.late_us // 1000, self.late_us // 1000 + 1]
            asked = identities([12, 11, 13, 16], 4, kind=kind, at_us=self.late_us, order_ms=times)
            assert claimed(store, asked) == [False, True, False, True]
            store.close()

    def test_D45_eviction_leaves_alone_what_is_in_flight(self, tmp_path: Path) -> None:
        """A commit that waits for hours is still one's own."""
        store = self.started(tmp_path, KnownTable())
        claimed(store, identities([1, 2]))
        store.evict(self.late_us)
        assert claimed(store, identities([2, 3], 2, at_us=self.late_us)) == [False, True]

    def test_D46_a_table_that_cannot_be_asked_claims_nothing(self, tmp_path: Path) -> None:
        """A typed error, and the same claim is answered in full once the table is back."""
        store, table = self.open(tmp_path, self.clock()), KnownTable()
        store.assign(PLACE, 0, table)
        stored = identities(["b", "x"], kind="opaque")
        claimed(store, stored)
        table.stored.append(stored)
        store.settle(PLACE, 0, 2)
        store.evict(self.late_us)
        table.away = True
        late = identities(["b", "z"], 2, kind="opaque", at_us=self.late_us, order_ms=[START_MS, START_MS + 9])
        try:
            found = claimed(store, late)
        except DedupError:
            table.away = False
            found = claimed(store, late)
        assert found == [False, True], "an answer without the table must be the right one"

    def test_D47_a_late_id_is_a_duplicate_once_it_was_claimed(self, tmp_path: Path) -> None:
        """Below the mark, new, in flight, settled, and evicted again."""
        old = identities([10, 14], at_us=START_US, kind="increasing")
        clock = self.clock()
        clock.set(self.late_us * 1000)
        store, table = self.open(tmp_path, clock), KnownTable(old)
        store.assign(PLACE, 2, table)
        late = identities([12], 2, kind="increasing", at_us=self.late_us)
        assert claimed(store, late) == [True]
        assert claimed(store, identities([12], 3, kind="increasing", at_us=self.late_us)) == [False]
        table.stored.append(late)
        store.settle(PLACE, 2, 4)
        store.evict(self.late_us * 2)
        assert claimed(store, identities([12], 4, kind="increasing", at_us=self.late_us)) == [False]

    def test_D48_rising_ids_are_answered_without_the_table(self, tmp_path: Path) -> None:
        """A look-up a batch would cost a hundred times what the claim costs."""
        store, table = self.open(tmp_path, self.clock()), KnownTable()
        store.assign(PLACE, 0, table)
        for at in range(0, 50, 10):
            claimed(store, identities(range(100 + at, 110 + at), at, streams=(ETH,)))
            store.settle(PLACE, at, at + 10)
        assert table.asked == 0, f"{table.asked} rising ids were looked up in the table"

    def test_D49_taking_over_fails_while_the_table_is_away(self, tmp_path: Path) -> None:
        """`assign` reads the table: a typed error, and the next try starts from nothing."""
        store, table = self.open(tmp_path, self.clock()), KnownTable(identities([1, 2]))
        table.away = True
        with pytest.raises(K2Error):
            store.assign(PLACE, 2, table)
        table.away = False
        store.assign(PLACE, 2, table)
        assert claimed(store, identities([2, 3], 2)) == [False, True]
