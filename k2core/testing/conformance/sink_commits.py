"""MUSTs of a sink's commits: rows and offsets in one step, exactly as given, refused in full or not at all."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from k2core.errors import CommitConflictError, SinkError
from k2core.interfaces.broker import Offsets
from k2core.interfaces.shed import Shed, restored_shed
from k2core.interfaces.sink import Gone, LogFacts, Staged
from k2core.records.builtin import QUOTES, TRADES
from k2core.testing.conformance.sink_world import (
    IDS,
    KRAKEN,
    PARTS,
    TOPIC,
    SinkFacts,
    as_table,
    row_at,
    rows_between,
)

PLACE = min(PARTS)


class CommitTests(SinkFacts):
    """One writer and its table."""

    def test_S01_a_new_table_is_empty(self, tmp_path: Path) -> None:
        """No snapshot, no offsets; and opening it again does not make another."""
        assert self.head(tmp_path) == self.head(tmp_path)
        head = self.head(tmp_path)
        assert (head.snapshot_id, dict(head.offsets)) == (None, {})

    def test_S02_rows_come_back_field_for_field(self, tmp_path: Path) -> None:
        """Nulls, extreme numbers, any text, two dates; strings plain or as dictionaries."""
        with self.hand(tmp_path) as hand:
            to = hand.ahead(12)
            hand.commit(hand.table.stage(as_table(rows_between(hand.at, to))), to)
            more = hand.ahead(3)
            hand.commit(hand.table.stage(as_table(rows_between(hand.at, more), plain=True)), more)
        self.check_holds(tmp_path, more)

    def test_S03_what_is_staged_is_not_there_yet(self, tmp_path: Path) -> None:
        """Durable files, no rows, no offsets."""
        with self.hand(tmp_path) as hand:
            hand.write(2)
            staged, _ = hand.stage(3)
            assert staged.rows == 3 * len(PARTS)
            assert dict(self.head(tmp_path).offsets) == hand.at
            self.check_holds(tmp_path, hand.at)

    def test_S04_a_commit_is_seen_at_once_and_names_its_topics(self, tmp_path: Path) -> None:
        """By every other opening: offsets, topics' ids, another snapshot for every commit."""
        with self.hand(tmp_path) as hand:
            first = hand.write(2)
            second = hand.write(1)
            assert len({None, first.snapshot_id, second.snapshot_id}) == 3
            assert dict(second.offsets) == hand.at
            other = self.head(tmp_path)
            assert (other.snapshot_id, dict(other.offsets)) == (second.snapshot_id, hand.at)
            assert dict(other.topic_ids) == {TOPIC: IDS[TOPIC]}

    def test_S05_rows_and_offsets_appear_together(self, tmp_path: Path) -> None:
        """Somebody who reads offsets, rows, and offsets again never finds rows that no offset covers, nor the other way."""
        wrong: list[str] = []
        done = threading.Event()
        with self.hand(tmp_path) as hand, self.open(tmp_path, self.clock()) as other:
            hand.write(1)
            table = other.table(TRADES)

            def look() -> None:
                while not done.is_set():
                    low, rows, high = table.head().offsets, len(self.read(tmp_path, TRADES)), table.head().offsets
                    if not sum(low.values()) <= rows <= sum(high.values()):
                        wrong.append(f"{sum(low.values())} <= {rows} <= {sum(high.values())} does not hold")

            looking = threading.Thread(target=look)
            looking.start()
            try:
                for _ in range(12):
                    hand.write(1)
            finally:
                done.set()
                looking.join(self.wait_s)
        assert not wrong, wrong[0]

    def test_S06_a_commit_without_rows_moves_the_offsets(self, tmp_path: Path) -> None:
        """All of its records were duplicates or dead letters."""
        with self.hand(tmp_path) as hand:
            hand.write(2)
            head = hand.table.commit(Staged(0, 0, []), hand.owned, dict(hand.at), {PLACE: 7})
            assert dict(head.offsets) == {**hand.at, PLACE: 7}
            assert dict(self.head(tmp_path).offsets) == {**hand.at, PLACE: 7}
            self.check_holds(tmp_path, hand.at)

    def test_S07_other_offsets_than_expected_refuse_the_commit(self, tmp_path: Path) -> None:
        """An older writer landed in between: nothing of it lands, and a restart from the head goes through."""
        with self.hand(tmp_path) as hand:
            hand.write(2)
            before = dict(hand.at)
            staged, to = hand.stage(1)
            for wrong in ({}, {**before, PLACE: before[PLACE] + 1}):
                with pytest.raises(CommitConflictError):
                    hand.table.commit(staged, hand.owned, wrong, {p: o + 9 for p, o in to.items()})
            assert dict(self.head(tmp_path).offsets) == before
            self.check_holds(tmp_path, before)
            hand.commit(staged, to)
            self.check_holds(tmp_path, to)

    def test_S08_offsets_never_go_back(self, tmp_path: Path) -> None:
        """A caller that counts wrongly is refused, and nothing lands."""
        with self.hand(tmp_path) as hand:
            hand.write(3)
            with pytest.raises(SinkError):
                hand.table.commit(Staged(0, 0, []), hand.owned, dict(hand.at), {**hand.at, PLACE: 1})
            assert dict(self.head(tmp_path).offsets) == hand.at

    def test_S09_offsets_of_partitions_that_are_not_owned_are_refused(self, tmp_path: Path) -> None:
        """They are somebody else's to move."""
        with self.hand(tmp_path) as hand:
            hand.write(1)
            with pytest.raises(SinkError):
                hand.table.commit(Staged(0, 0, []), hand.owned, dict(hand.at), {**hand.at, (KRAKEN, 0): 5})
            assert dict(self.head(tmp_path).offsets) == hand.at

    def test_S10_what_a_commit_does_not_name_stands(self, tmp_path: Path) -> None:
        """Offsets and ids of other topics and partitions outlive every commit."""
        with self.hand(tmp_path, parts=frozenset({(KRAKEN, PLACE[1])})) as other:
            other.write(4)
        with self.hand(tmp_path) as hand:
            for _ in range(2):
                hand.write(1)
            head = self.head(tmp_path)
        assert dict(head.offsets) == {(KRAKEN, PLACE[1]): 4, **hand.at}
        assert dict(head.topic_ids) == IDS

    def test_S11_the_next_rows_may_be_staged_before_a_commit(self, tmp_path: Path) -> None:
        """A writer writes files while the commit before them is under way."""
        with self.hand(tmp_path) as hand:
            first, to = hand.stage(2)
            further = hand.ahead(2, to)
            second = hand.table.stage(as_table(rows_between(to, further)))
            hand.commit(first, to)
            hand.commit(second, further)
        self.check_holds(tmp_path, further)

    def test_S12_facts_of_the_log_stand_with_the_offsets(self, tmp_path: Path) -> None:
        """A stamp until its partition moves again; ranges that are gone for ever."""
        other = max(PARTS)
        gone = Gone(*PLACE, 2, 5, 17)
        with self.hand(tmp_path) as hand:
            staged, to = hand.stage(1)
            hand.commit(staged, to, LogFacts(stamps={PLACE: "a", other: "b"}, gone=(gone,)))
            hand.commit(Staged(0, 0, []), {other: to[other] + 1}, LogFacts(stamps={other: "c"}))
            head = self.head(tmp_path)
            assert (dict(head.stamps), head.gone) == ({PLACE: "a", other: "c"}, (gone,))
            hand.commit(Staged(0, 0, []), {PLACE: to[PLACE] + 4}, LogFacts(gone=(Gone(*PLACE, 9, 10),)))
            head = self.head(tmp_path)
            assert (dict(head.stamps), sorted(head.gone)) == ({other: "c"}, sorted([gone, Gone(*PLACE, 9, 10)]))

    def test_S13_what_was_discarded_leaves_nothing(self, tmp_path: Path) -> None:
        """Neither rows nor trouble: the same rows can be staged again."""
        with self.hand(tmp_path) as hand:
            hand.write(1)
            staged, _ = hand.stage(2)
            hand.table.discard(staged)
            self.check_holds(tmp_path, hand.at)
            hand.write(2)
        self.check_holds(tmp_path, hand.at)

    def test_S14_many_rows_are_stored_as_few_are(self, tmp_path: Path) -> None:
        """Thousands in one commit, over both dates."""
        with self.hand(tmp_path) as hand:
            hand.write(600)
        self.check_holds(tmp_path, hand.at)

    def test_S15_every_data_type_has_a_table_of_its_own(self, tmp_path: Path) -> None:
        """Rows, offsets and owners."""
        quotes = [_quote(offset) for offset in range(3)]
        with self.hand(tmp_path) as hand, self.hand(tmp_path, data_type=QUOTES) as other:
            hand.write(2)
            other.commit(other.table.stage(as_table(quotes, QUOTES)), {PLACE: 3})
            hand.write(1)
            assert self.stored_rows(tmp_path, QUOTES) == quotes
            assert _moved(other.table.head().offsets) == {PLACE: 3}
        self.check_holds(tmp_path, hand.at)

    def test_S16_shed_ranges_stand_until_restored(self, tmp_path: Path) -> None:
        """They come with the commit that passes them, adjoining ones as one; restored beside a writer, once."""
        symbols = (("ADA", 2), ("XRP", 1))
        first = Shed(*PLACE, 2, 5, symbols, "GRACEFUL", "r", 10, 20)
        second = replace(first, first_offset=5, next_offset=9, symbols=symbols[:1], first_us=21, last_us=30)
        other = replace(first, partition=max(PARTS)[1], topic=max(PARTS)[0])
        with self.hand(tmp_path) as hand:
            staged, to = hand.stage(1)
            hand.commit(staged, to, LogFacts(shed=(first, other)))
            hand.commit(Staged(0, 0, []), {PLACE: to[PLACE] + 1}, LogFacts(shed=(second,)))
            whole = replace(first, next_offset=9, symbols=(("ADA", 4), ("XRP", 1)), last_us=30)
            head = self.head(tmp_path)
            assert head.shed == (whole, other)
            done = replace(first, state="restored", back_offset=40, back_us=50)
            with self.open(tmp_path, self.clock()) as beside:
                restored = beside.table(TRADES).restore([done])
                assert restored.shed == restored_shed(head.shed, [done])
                assert beside.table(TRADES).restore([done]).shed == restored.shed
            assert self.head(tmp_path).shed == restored.shed
            assert dict(self.head(tmp_path).offsets) == dict(head.offsets)
            hand.write(1)
            assert self.head(tmp_path).shed == restored.shed
            assert len(self.stored_rows(tmp_path)) == 2 * len(PARTS)


def _quote(offset: int) -> dict[str, object]:
    names = QUOTES.table_schema.names
    of = {"bid_price": "price", "ask_price": "price", "bid_quantity": "quantity", "ask_quantity": "quantity"}
    of |= {"update_id": "trade_id", "timestamp_source": "source"}
    trade = row_at(PLACE, offset)
    return {name: trade[of.get(name, name)] for name in names}


def _moved(offsets: Offsets) -> dict[tuple[str, int], int]:
    return {p: o for p, o in offsets.items() if o}
