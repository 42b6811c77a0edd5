"""MUSTs of a dedup store when its owner dies, comes again or is replaced: the table decides what is stored."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from k2core.errors import DedupError
from k2core.interfaces.broker import Partition
from k2core.interfaces.dedup import DedupStore
from k2core.testing.conformance.dedup_world import (
    ETH,
    KINDS,
    OTHER,
    PLACE,
    DedupFacts,
    KnownTable,
    claimed,
    identities,
)
from k2core.testing.conformance.facts import needs


class OwnerTests(DedupFacts):
    """Death, restart, rollback, takeover."""

    def test_D20_a_claim_that_was_never_settled_does_not_outlive_its_owner(self, tmp_path: Path) -> None:
        """Killed between claim and commit: the next owner must find the records new, or rows are lost."""
        table = KnownTable()
        for kind in KINDS:
            dying = self.started(tmp_path / kind, table)
            claimed(dying, identities([1, 2], kind=kind))
            dying.close()
            next_one = self.started(tmp_path / kind, table)
            assert claimed(next_one, identities([1, 2], kind=kind)) == [True, True]
            next_one.close()

    def test_D21_what_landed_and_was_not_settled_is_taken_from_the_table(self, tmp_path: Path) -> None:
        """Killed between commit and settle: the store is behind the table."""
        table = KnownTable()
        for kind in KINDS:
            dying = self.started(tmp_path / kind, table)
            batch = identities([1, 2, 4], kind=kind)
            claimed(dying, batch)
            dying.close()
            next_one = self.started(tmp_path / kind, KnownTable(batch), 3)
            assert claimed(next_one, identities([4, 2, 3, 5], 3, kind=kind)) == [False, False, True, True]
            next_one.close()

    def test_D22_a_table_that_was_rolled_back_takes_the_store_with_it(self, tmp_path: Path) -> None:
        """The store is ahead: what it settled at and above the table's offset is not stored any more."""
        first, second = identities([1, 2]), identities([3, 4], 2)
        store = self.started(tmp_path, KnownTable())
        for batch, (low, high) in ((first, (0, 2)), (second, (2, 4))):
            claimed(store, batch)
            store.settle(PLACE, low, high)
        store.assign(PLACE, 2, KnownTable(first))
        assert claimed(store, identities([3, 1, 4, 2], 2)) == [True, False, True, False]
        store.settle(PLACE, 2, 6)
        assert claimed(store, identities([3, 4], 6)) == [False, False]

    def test_D23_a_partition_that_was_given_up_and_taken_again_starts_from_the_table(self, tmp_path: Path) -> None:
        """What was in flight when it was given up never happened."""
        store, table = self.started(tmp_path, KnownTable()), KnownTable()
        claimed(store, identities([1, 2]))
        store.revoke(PLACE)
        store.assign(PLACE, 0, table)
        assert claimed(store, identities([1, 2])) == [True, True]

    def test_D24_stores_of_two_places_know_nothing_of_each_other(self, tmp_path: Path) -> None:
        """Two data types, or two tables: the same partition, the same ids."""
        one, other = (self.started(tmp_path / name, KnownTable()) for name in ("one", "other"))
        claimed(one, identities([1, 2]))
        one.settle(PLACE, 0, 2)
        assert claimed(other, identities([1, 2])) == [True, True]

    def test_D25_a_restart_after_every_commit_changes_no_answer(self, tmp_path: Path) -> None:
        """Closed and opened again, the store answers as if it had never stopped."""
        table = KnownTable()
        for turn in range(4):
            store = self.started(tmp_path, table, turn * 3)
            batch = identities([turn * 2 + 10, turn * 2 + 11, 10 if turn else 9], turn * 3, kind="increasing")
            assert claimed(store, batch) == [True, True, turn == 0]
            table.stored.append(batch.where(np.array([True, True, turn == 0])))
            store.settle(PLACE, turn * 3, turn * 3 + 3)
            store.close()

    @needs("durable")
    def test_D26_an_old_dump_is_brought_up_to_the_table(self, tmp_path: Path) -> None:
        """A dump from before the newest commits was restored: what they stored is not new."""
        first, second = identities([1, 2]), identities([3, 9], 2)
        store = self.started(tmp_path, KnownTable())
        claimed(store, first)
        store.settle(PLACE, 0, 2)
        store.close()
        dump = self.save(tmp_path)
        store = self.started(tmp_path, KnownTable(first), 2)
        claimed(store, second)
        store.settle(PLACE, 2, 4)
        store.close()
        self.restore(tmp_path, dump)
        store = self.started(tmp_path, KnownTable(first, second), 4)
        assert claimed(store, identities([9, 3, 2, 5], 4)) == [False, False, False, True]

    @needs("shared")
    def test_D27_a_takeover_drops_what_the_first_owner_had_in_flight(self, tmp_path: Path) -> None:
        """While the first still lives, frozen: its claims may not keep the second from storing the records."""
        clock = self.clock()
        first = self.started(tmp_path, KnownTable(), clock=clock)
        second = self.open(tmp_path, clock)
        claimed(first, identities([1, 2]))
        second.assign(PLACE, 0, KnownTable())
        assert claimed(second, identities([1, 2])) == [True, True]

    @needs("shared")
    def test_D28_a_fenced_owner_can_settle_nothing(self, tmp_path: Path) -> None:
        """Woken after a takeover, its settle is refused: what it says was stored was rolled back meanwhile."""
        clock = self.clock()
        first, second = self.started(tmp_path, KnownTable(), clock=clock), self.open(tmp_path, clock)
        claimed(first, identities([1, 2]))
        second.assign(PLACE, 0, KnownTable())
        with pytest.raises(DedupError):
            first.settle(PLACE, 0, 2)
        second.abandon(PLACE, 0)
        assert claimed(second, identities([1, 2, 3])) == [True, True, True]

    @needs("shared")
    def test_D29_owners_of_different_partitions_work_at_once(self, tmp_path: Path) -> None:
        """Each exact, in threads of their own, on one store."""
        clock = self.clock()
        owners = [self.open(tmp_path, clock) for _ in range(2)]
        for store, place in zip(owners, (PLACE, OTHER), strict=True):
            store.assign(place, 0, KnownTable())
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(_work, store, place) for store, place in zip(owners, (PLACE, OTHER), strict=True)]
            assert [job.result(60) for job in jobs] == [200, 200]

    @needs("durable")
    def test_D30_what_was_settled_outlives_the_store(self, tmp_path: Path) -> None:
        """At the table's own offset a durable store holds what it held, though the table tells it nothing."""
        store = self.started(tmp_path, KnownTable())
        claimed(store, identities([1, 2, 3]))
        store.settle(PLACE, 0, 3)
        store.close()
        store = self.started(tmp_path, KnownTable(), 3)
        assert claimed(store, identities([3, 1, 4], 3)) == [False, False, True]


def _work(store: DedupStore, place: Partition) -> int:
    found = offset = 0
    for turn in range(20):
        ids = range(max(0, turn * 10 - 10), turn * 10 + 10)  # half of them again
        found += sum(claimed(store, identities(ids, offset, place=place, streams=(ETH,), kind="increasing")))
        store.settle(place, offset, offset + len(ids))
        offset += len(ids)
    return found
