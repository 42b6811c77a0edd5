"""MUSTs of a sink's tables: new columns, look-ups of identities, upkeep that changes no answer."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from k2core.errors import SinkError
from k2core.interfaces.broker import Partition
from k2core.interfaces.dedup import StoredIdentities
from k2core.interfaces.frames import ChannelFacts
from k2core.interfaces.identities import IdentityBatch, Stream
from k2core.records.builtin import TRADES
from k2core.records.data_type import Column
from k2core.testing.conformance.facts import needs
from k2core.testing.conformance.sink_world import (
    PARTS,
    START_MS,
    TOPIC,
    SinkFacts,
    appended_us,
    as_table,
    by_position,
    row_at,
    rows_between,
)

PLACE = min(PARTS)
FACTS = {"binance": ChannelFacts(ids="contiguous")}
WIDER = replace(TRADES, columns=(*TRADES.columns, Column("venue", "string", True)))
NARROW = replace(TRADES, columns=(*TRADES.columns, Column("needed", "long")))


class TableTests(SinkFacts):
    """What is kept, how it grows, what can be asked of it."""

    @needs("adds_columns")
    def test_S30_a_new_nullable_column_is_added(self, tmp_path: Path) -> None:
        """Old rows are null there, new ones have their values; offsets and look-ups stand; the old version still writes."""
        with self.hand(tmp_path) as hand:
            hand.write(2)
        with self.hand(tmp_path, data_type=WIDER) as wider:
            assert wider.at == hand.at
            to = wider.ahead(2)
            new = [{**row, "venue": f"v{row['log_offset']}"} for row in rows_between(wider.at, to)]
            wider.commit(wider.table.stage(as_table(new, WIDER)), to)
        with self.hand(tmp_path) as older:
            older.write(1)
        old = [{**r, "venue": None} for r in [*rows_between({}, hand.at), *rows_between(to, older.at)]]
        assert self.stored_rows(tmp_path, WIDER) == by_position([*old, *new])

    def test_S31_a_column_that_rows_must_have_cannot_be_new(self, tmp_path: Path) -> None:
        """The rows that are there have no value for it: a typed error, and the table is as it was."""
        with self.hand(tmp_path) as hand:
            hand.write(2)
        with self.open(tmp_path, self.clock()) as sink, pytest.raises(SinkError):
            sink.table(NARROW)
        self.check_holds(tmp_path, dict(self.head(tmp_path).offsets))
        with self.hand(tmp_path) as hand:
            hand.write(1)

    def test_S32_stored_identities_are_found_below_their_own_offset(self, tmp_path: Path) -> None:
        """By stream and id, at the head as of each call; a row is no duplicate of itself."""
        with self.hand(tmp_path) as hand:
            stored = hand.table.stored().declared(FACTS)
            hand.write(9)
            assert _contains(stored, [0, 5, 8], shift=100) == [True, True, True]
            assert _contains(stored, [0, 5, 8], shift=0) == [False, False, False]
            assert _contains(stored, [0, 5], shift=100, epoch=1) == [False, False]
            assert _contains(stored, [9, 40], shift=100) == [False, False]
            hand.write(3)
            assert _contains(stored, [9, 40], shift=100) == [True, False]

    def test_S33_the_window_is_loaded_from_a_time_on(self, tmp_path: Path) -> None:
        """Every row of the partition that was appended at or after it, and of no other partition."""
        with self.hand(tmp_path) as hand:
            hand.write(6)
            hand.write(6)
            for facts in (FACTS, {}):
                held = list(hand.table.stored().declared(facts).load(PLACE, appended_us(4)))
                found = {o: str(i) for b in held for o, i in zip(b.offsets.tolist(), b.ids.tolist(), strict=True)}
                assert all(b.partition == PLACE and (np.diff(b.offsets) > 0).all() for b in held)
                assert found == {o: row_at(PLACE, o)["trade_id"] for o in range(4, 12)}
                assert sum(map(len, held)) == 8

    def test_S34_marks_are_no_smaller_than_what_is_stored(self, tmp_path: Path) -> None:
        """For every stream with rows appended before a time: a mark that is too small loses the table's say."""
        with self.hand(tmp_path) as hand:
            hand.write(6)
            hand.write(6)
            for facts, column in ((FACTS, "sequence_num"), ({}, "exchange_timestamp_ms")):
                marks = hand.table.stored().declared(facts).marks(PLACE, appended_us(8))
                for row in (row_at(PLACE, o) for o in range(8)):
                    assert marks[Stream("binance", row["symbol"])] >= row[column]
            assert hand.table.stored().declared(FACTS).marks(PLACE, START_MS * 1000) == {}

    def test_S35_upkeep_changes_no_row_and_no_offset(self, tmp_path: Path) -> None:
        """A dry run changes nothing at all; after it, and after days, the table is the same and can be written to."""
        clock = self.clock()
        with self.hand(tmp_path, clock=clock) as hand:
            for _ in range(4):
                hand.write(2)
                clock.advance(10)
            for days in (0, 2):
                clock.advance(days * 86_400)
                before = self.head(tmp_path).snapshot_id
                assert hand.table.maintain(dry_run=True).dry_run
                assert self.head(tmp_path).snapshot_id == before
                assert not hand.table.maintain().dry_run
                assert dict(self.head(tmp_path).offsets) == hand.at
                self.check_holds(tmp_path, hand.at)
            hand.write(1)
            self.check_holds(tmp_path, hand.at)

    def test_S36_upkeep_runs_beside_commits(self, tmp_path: Path) -> None:
        """In another thread and another opening: neither stops the other, nothing is lost."""
        clock, failed = self.clock(), list[str]()
        with self.hand(tmp_path, clock=clock) as hand, self.open(tmp_path, clock) as other:
            for _ in range(3):
                hand.write(2)
            clock.advance(2 * 86_400)
            keeper = other.table(TRADES)

            def maintain() -> None:
                try:
                    keeper.maintain()
                    keeper.maintain()
                except Exception as error:  # noqa: BLE001 - whatever it is, the test must see it
                    failed.append(repr(error))

            thread = threading.Thread(target=maintain)
            thread.start()
            for _ in range(6):
                hand.write(1)
            thread.join(self.wait_s)
            assert not thread.is_alive()
        assert not failed, failed[0]
        assert dict(self.head(tmp_path).offsets) == hand.at
        self.check_holds(tmp_path, hand.at)


def _contains(stored: StoredIdentities, offsets: list[int], *, shift: int, epoch: int = 0) -> list[bool]:
    return [bool(x) for x in stored.contains(_batch(PLACE, offsets, shift, epoch))]


def _batch(place: Partition, offsets: list[int], shift: int, epoch: int) -> IdentityBatch:
    """The identities of these rows, at positions `shift` further on."""
    rows = [row_at(place, o) for o in offsets]
    streams = tuple(sorted({Stream("binance", r["symbol"], epoch) for r in rows}))
    assert place[0] == TOPIC
    return IdentityBatch(
        data_type="trades", partition=place, kind="contiguous", streams=streams, event_time="exchange",
        stream=np.array([streams.index(Stream("binance", r["symbol"], epoch)) for r in rows], np.int32),
        ids=np.array([r["sequence_num"] for r in rows], np.int64),
        order_ms=np.array([r["exchange_timestamp_ms"] for r in rows], np.int64),
        offsets=np.array(offsets, np.int64) + shift,
        timestamps_us=np.array([r["log_timestamp"] for r in rows], np.int64),
    )  # fmt: skip
