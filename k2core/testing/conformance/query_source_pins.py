"""MUSTs of a query source about snapshots: what is pinned stays, what is new is seen, look-ups at a snapshot, closing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from k2core.errors import QueryError
from k2core.interfaces.identities import IdentityBatch, Stream
from k2core.interfaces.query import Selection
from k2core.records.builtin import QUOTES, TRADES
from k2core.testing.clock import ManualClock
from k2core.testing.conformance.query_source_world import PATIENCE_S, SourceFacts, key
from k2core.testing.conformance.sink_world import PARTS, row_at

PLACE = min(PARTS)


class PinTests(SourceFacts):
    """Snapshots while commits go on."""

    def test_Q20_a_table_that_nobody_wrote_is_empty(self, tmp_path: Path) -> None:
        """It may not exist yet: an empty snapshot, no rows of the right columns, and no snapshot of any number."""
        with self.filled(tmp_path, 2), self.open(tmp_path, self._clock()) as source:
            table = source.table(QUOTES)
            newest = table.newest()
            assert (newest.id, dict(newest.offsets)) == (None, {})
            rows = table.scan(newest, Selection(), timeout=PATIENCE_S).rows
            assert rows.num_rows == 0
            assert rows.schema.equals(QUOTES.table_schema)
            assert not table.contains_snapshot(1)

    def test_Q21_a_commit_is_seen_at_once(self, tmp_path: Path) -> None:
        """Id, parent and offsets as the sink has them."""
        with self.filled(tmp_path) as made:
            assert made.table.newest().id is None
            for count in (3, 2, 4):
                before = made.table.newest().id
                snapshot_id = made.write(count)
                newest = made.table.newest()
                assert (newest.id, dict(newest.offsets)) == (snapshot_id, made.hand.at)
                assert newest.parent_id in (before, None)
                assert len(made.scan()) == sum(made.hand.at.values())

    def test_Q22_a_pinned_snapshot_gives_the_same_rows_while_commits_go_on(self, tmp_path: Path) -> None:
        """Row for row, however much was committed since."""
        with self.filled(tmp_path, 4) as made:
            pinned = made.table.newest()
            before = made.scan(pinned)
            for count in (3, 1):
                made.write(count)
                everything = {p: o + 100 for p, o in pinned.offsets.items()}
                assert made.scan(pinned, below=everything) == before
                assert made.scan(pinned) == before

    def test_Q23_the_newest_snapshot_cut_to_older_offsets_gives_the_older_rows(self, tmp_path: Path) -> None:
        """A pin is offsets: it outlives snapshots, compaction and servers."""
        with self.filled(tmp_path, 4) as made:
            pinned = made.table.newest()
            before = made.scan(pinned)
            for count in (3, 1):
                made.write(count)
            made.clock.advance(2 * 86_400)
            made.hand.table.maintain()
            assert made.scan(below=pinned.offsets) == before
            assert made.scan(pinned) == before

    def test_Q24_snapshots_are_found_by_their_number(self, tmp_path: Path) -> None:
        """With the offsets they had; the head's ancestors are known as such."""
        with self.filled(tmp_path, 2, 3, 1) as made:
            for snapshot_id, offsets in made.snapshots:
                found = made.table.snapshot(snapshot_id)
                assert (found.id, dict(found.offsets)) == (snapshot_id, offsets)
                assert len(made.scan(found)) == sum(offsets.values())
                assert made.table.contains_snapshot(snapshot_id)

    def test_Q25_a_snapshot_that_does_not_live_is_a_typed_error(self, tmp_path: Path) -> None:
        """`snapshot-gone`, with the number of one that lives."""
        with self.filled(tmp_path, 2) as made:
            lives = made.table.newest().id
            with pytest.raises(QueryError, match=str(lives)) as caught:
                made.table.snapshot(12_345)
            assert (caught.value.kind, caught.value.status) == ("snapshot-gone", 410)
            assert not made.table.contains_snapshot(12_345)

    def test_Q26_every_reader_sees_rows_and_offsets_of_one_commit(self, tmp_path: Path) -> None:
        """Many threads on one table while commits come in: a snapshot's rows are exactly those its offsets say."""
        stop, wrong = threading.Event(), list[str]()
        with self.filled(tmp_path, 2) as made, ThreadPoolExecutor(4) as pool:

            def read() -> int:
                reads = 0
                while not stop.is_set() or not reads:
                    snapshot = made.table.newest()
                    rows = len(made.scan(snapshot, below=dict.fromkeys(snapshot.offsets, 10000), columns=()))
                    if rows != sum(snapshot.offsets.values()):
                        wrong.append(f"snapshot {snapshot.id} has {rows} rows and offsets {dict(snapshot.offsets)}")
                    reads += 1
                return reads

            reading = [pool.submit(read) for _ in range(4)]
            for _ in range(6):
                made.write(1)
            stop.set()
            assert all(job.result(self.wait_s) for job in reading)
        assert not wrong, wrong[0]

    def test_Q27_look_ups_are_of_one_snapshot_or_of_the_newest(self, tmp_path: Path) -> None:
        """Identities stored after a snapshot are not in it."""
        with self.filled(tmp_path, 3) as made:
            pinned = made.table.newest()
            old, newest = made.table.stored(pinned), made.table.stored()
            made.write(3)
            asked = _identities([1, 4, 40])
            assert old.contains(asked).tolist() == [True, False, False]
            assert newest.contains(asked).tolist() == [True, True, False]

    def test_Q28_a_source_that_was_closed_can_be_opened_again(self, tmp_path: Path) -> None:
        """With the same answers, and without the first one's resources."""
        with self.filled(tmp_path, 4, 3) as made:
            before = made.scan()
            for _ in range(2):
                with self.open(tmp_path, made.clock) as again:
                    table = again.table(TRADES)
                    at = table.newest()
                    rows = table.scan(at, Selection(below=at.offsets), timeout=PATIENCE_S).rows.to_pylist()
                    assert [key(r) for r in rows] == [key(r) for r in before]

    @staticmethod
    def _clock() -> ManualClock:
        return ManualClock()


def _identities(offsets: list[int]) -> IdentityBatch:
    """The identities of these rows, at positions far beyond."""
    rows = [row_at(PLACE, o) for o in offsets]
    streams = tuple(sorted({Stream(r["exchange"], r["symbol"]) for r in rows}))
    return IdentityBatch(
        data_type="trades", partition=PLACE, kind="contiguous", streams=streams, event_time="exchange",
        stream=np.array([streams.index(Stream(r["exchange"], r["symbol"])) for r in rows], np.int32),
        ids=np.array([r["sequence_num"] for r in rows], np.int64),
        order_ms=np.array([r["exchange_timestamp_ms"] for r in rows], np.int64),
        offsets=np.array(offsets, np.int64) + 1000, timestamps_us=np.array([r["log_timestamp"] for r in rows], np.int64),
    )  # fmt: skip
