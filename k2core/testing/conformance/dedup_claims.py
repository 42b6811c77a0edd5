"""MUSTs of a dedup store that one owner sees: claim, settle, abandon, and what an identity is."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from k2core.errors import DedupError
from k2core.interfaces.identities import IdentityBatch, Stream
from k2core.testing.conformance.dedup_world import (
    BTC,
    ETH,
    KINDS,
    OTHER,
    PLACE,
    START_US,
    DedupFacts,
    KnownTable,
    claimed,
    identities,
)


class ClaimTests(DedupFacts):
    """One owner, its claims and their settling."""

    def test_D01_the_first_copy_in_a_batch_is_new_and_no_other(self, tmp_path: Path) -> None:
        """Whatever the order and the kind of ids."""
        for kind in KINDS:
            store = self.started(tmp_path / kind, KnownTable())
            assert claimed(store, identities([1, 2, 2, 9, 4, 1], kind=kind)) == [True, True, False, True, True, False]
            store.close()

    def test_D02_what_is_in_flight_is_not_new(self, tmp_path: Path) -> None:
        """Claimed and not yet committed is claimed all the same."""
        for kind in KINDS:
            store = self.started(tmp_path / kind, KnownTable())
            assert all(claimed(store, identities([1, 2, 3], kind=kind)))
            assert claimed(store, identities([3, 4, 2], 3, kind=kind)) == [False, True, False]
            store.close()

    def test_D03_what_is_settled_is_not_new(self, tmp_path: Path) -> None:
        """The table is not there to help: it was away since the commit."""
        for kind in KINDS:
            store = self.started(tmp_path / kind, KnownTable())
            claimed(store, identities([1, 2, 3], kind=kind))
            store.settle(PLACE, 0, 3)
            assert claimed(store, identities([5, 1, 4, 3], 3, kind=kind)) == [True, False, True, False]
            store.close()

    def test_D04_what_was_abandoned_never_happened(self, tmp_path: Path) -> None:
        """At or above the first offset; what lies below stays in flight."""
        store = self.started(tmp_path, KnownTable())
        claimed(store, identities([1, 2]))
        claimed(store, identities([3, 4], 2))
        store.abandon(PLACE, 1)
        assert claimed(store, identities([1, 2, 3, 4], 1)) == [False, True, True, True]

    def test_D05_settling_out_of_turn_is_refused_and_forgets_nothing(self, tmp_path: Path) -> None:
        """An earlier settle that failed may be caught up with: nothing between may be passed over."""
        store = self.started(tmp_path, KnownTable())
        claimed(store, identities([1, 2]))
        claimed(store, identities([3], 2))
        with pytest.raises(DedupError):
            store.settle(PLACE, 2, 3)
        assert claimed(store, identities([3, 1], 3)) == [False, False]
        store.settle(PLACE, 0, 2)
        store.settle(PLACE, 2, 3)
        store.abandon(PLACE, 3)
        assert claimed(store, identities([1, 2, 3], 3)) == [False, False, False]

    def test_D06_settling_again_changes_nothing(self, tmp_path: Path) -> None:
        """The reply to a settle was lost, and it is called again."""
        store = self.started(tmp_path, KnownTable())
        claimed(store, identities([1, 2]))
        store.settle(PLACE, 0, 2)
        claimed(store, identities([3], 2))
        store.settle(PLACE, 0, 2)
        store.settle(PLACE, 2, 3)
        assert claimed(store, identities([1, 3], 3)) == [False, False]

    def test_D07_a_settle_takes_what_its_offsets_cover_and_no_more(self, tmp_path: Path) -> None:
        """It may end within a claim, or cover several; what lies behind can still be abandoned."""
        store = self.started(tmp_path, KnownTable())
        claimed(store, identities([1, 2, 3]))
        claimed(store, identities([4, 5], 3))
        store.settle(PLACE, 0, 4)
        store.abandon(PLACE, 4)
        assert claimed(store, identities([1, 3, 4, 5], 4)) == [False, False, False, True]

    def test_D08_a_commit_without_new_records_moves_on(self, tmp_path: Path) -> None:
        """All of its records were duplicates, dead letters or shed."""
        store = self.started(tmp_path, KnownTable())
        store.settle(PLACE, 0, 7)
        assert claimed(store, identities([1], 7)) == [True]
        store.settle(PLACE, 7, 8)
        assert claimed(store, identities([1], 8)) == [False]

    def test_D09_streams_have_ids_of_their_own(self, tmp_path: Path) -> None:
        """Exchange, symbol and epoch tell them apart, whatever characters are in their names."""
        streams = (
            BTC, ETH, Stream("binance", "BTCUSDT", 1), Stream("kraken", "BTCUSDT"), Stream("a:b", "c"),
            Stream("a", "b:c"), Stream("a", "b", 11), Stream("a", "b:1", 1), Stream("a", "b\x001"), Stream("a", "bß"),
        )  # fmt: skip
        store = self.started(tmp_path, KnownTable())
        batch = identities([7] * len(streams), streams=streams, stream=range(len(streams)), kind="increasing")
        assert claimed(store, batch) == [True] * len(streams)
        store.settle(PLACE, 0, len(streams))
        again = identities(
            [7] * len(streams), len(streams), streams=streams, stream=range(len(streams)), kind="increasing"
        )
        assert claimed(store, again) == [False] * len(streams)

    def test_D10_an_id_is_its_text_in_whatever_form_it_comes(self, tmp_path: Path) -> None:
        """`5` as a number and as a text are one id; `05` is another."""
        store = self.started(tmp_path, KnownTable())
        claimed(store, identities([5, 6]))
        mixed = identities(["5", "05", "x", "6", "7", "+5", " 5", "5 ", "5.0"], 2)
        assert claimed(store, mixed) == [False, True, True, False, True, True, True, True, True]
        assert claimed(store, identities([7, 8], 11)) == [False, True]

    def test_D11_odd_and_huge_ids_are_ids_like_others(self, tmp_path: Path) -> None:
        """Long, empty, with zeros or separators inside, beyond 64 bits, and alike only to the eye."""
        odd = [
            "", " ", "\x00", "\x00\x00", "a\nb", "a:b|c,d;e/f'g\"h", "*", "%s{0}", str((1 << 63) - 1), str(1 << 63),
            str(1 << 64), "9" * 5000, "9" * 5001, "-1", "1e3", unicodedata.normalize("NFC", "é"),
            unicodedata.normalize("NFD", "é"), "A", "a", "Ω", "₿" * 300,
        ]  # fmt: skip
        for kind in KINDS:
            store = self.started(tmp_path / kind, KnownTable())
            assert claimed(store, identities(odd, kind=kind)) == [True] * len(odd)
            assert claimed(store, identities(odd, len(odd), kind=kind)) == [False] * len(odd)
            store.close()

    def test_D12_partitions_are_settled_and_given_up_each_alone(self, tmp_path: Path) -> None:
        """Offsets, in-flight records and owners belong to a partition."""
        store = self.started(tmp_path, KnownTable())
        store.assign(OTHER, 0, KnownTable())
        claimed(store, identities([1, 2]))
        claimed(store, identities([1, 2], place=OTHER, streams=(ETH,)))
        store.settle(PLACE, 0, 2)
        store.abandon(OTHER, 0)
        assert claimed(store, identities([1], 2)) == [False]
        assert claimed(store, identities([1], 0, place=OTHER, streams=(ETH,))) == [True]
        store.revoke(OTHER)
        assert claimed(store, identities([2, 3], 3)) == [False, True]

    def test_D13_what_was_not_assigned_cannot_be_claimed(self, tmp_path: Path) -> None:
        """Neither before `assign` nor after `revoke`: a typed error, never an answer."""
        store = self.open(tmp_path, self.clock())
        with pytest.raises(DedupError):
            store.claim(identities([1]))
        store.assign(PLACE, 0, KnownTable())
        store.revoke(PLACE)
        with pytest.raises(DedupError):
            store.claim(identities([1]))

    def test_D14_no_records_are_no_claim(self, tmp_path: Path) -> None:
        """An empty batch is answered, and changes nothing."""
        store = self.started(tmp_path, KnownTable())
        assert claimed(store, identities([])) == []
        assert claimed(store, identities([1])) == [True]

    def test_D15_many_records_are_answered_as_few_are(self, tmp_path: Path) -> None:
        """Twenty batches of a thousand, in no order, over two streams, settled and evicted as they go."""
        table, step = KnownTable(), 7_919
        store = self.started(tmp_path, table)
        numbers = [(i * step) % 20_000 for i in range(20_000)]  # every number once: the step is prime to 20,000
        for at in range(0, 20_000, 1000):
            batch = _of_two_streams(numbers[at : at + 1000], at)
            assert all(claimed(store, batch))
            table.stored.append(batch)
            store.settle(PLACE, at, at + 1000)
            store.evict(START_US)
        assert not any(claimed(store, _of_two_streams(numbers[::20], 20_000)))


def _of_two_streams(ids: list[int], offset: int) -> IdentityBatch:
    """Even ids of one stream, odd ones of another."""
    return identities(ids, offset, kind="increasing", streams=(BTC, ETH), stream=[i % 2 for i in ids])
