"""MUSTs of a sink about owners and deaths: who may land what, and that a writer killed anywhere leaves an exact table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from k2core.errors import CommitUnknownError, FencedError
from k2core.testing.conformance.facts import needs
from k2core.testing.conformance.sink_world import PARTS, SinkFacts


class OwnerTests(SinkFacts):
    """Takeover, fences, named crashes, several writers."""

    def test_S20_the_newest_owner_wins_at_once_and_the_first_lands_nothing(self, tmp_path: Path) -> None:
        """A writer that was frozen with staged rows, and wakes, finds itself fenced, again and again."""
        with self.hand(tmp_path, "first") as first:
            first.write(2)
            staged, to = first.stage(3)
            with self.hand(tmp_path, "second") as second:
                for _ in range(2):
                    with pytest.raises(FencedError) as caught:
                        first.table.commit(staged, first.owned, dict(first.at), dict(to))
                    assert caught.value.partitions == PARTS
                    assert "second" in str(caught.value), "the error names the new owner"
                assert second.at == first.at
                self.check_holds(tmp_path, second.at)
                second.write(3)
                with pytest.raises(FencedError):
                    first.table.commit(staged, first.owned, dict(second.at), second.ahead(3))
                self.check_holds(tmp_path, second.at)

    def test_S21_losing_some_partitions_refuses_the_whole_commit(self, tmp_path: Path) -> None:
        """The error names those that were lost, so that the rest can be written again."""
        lost = frozenset({min(PARTS)})
        with self.hand(tmp_path, "first") as first, self.hand(tmp_path, "second", lost) as second:
            with pytest.raises(FencedError) as caught:
                first.write(2)
            assert caught.value.partitions == lost
            assert not any(self.head(tmp_path).offsets.values())
            second.write(1)
            with self.hand(tmp_path, "first again", PARTS - lost) as again:
                again.write(2)
            self.check_holds(tmp_path, {**second.at, **again.at})

    def test_S22_an_idle_owner_can_ask_whether_it_still_is(self, tmp_path: Path) -> None:
        """Without a commit."""
        with self.hand(tmp_path, "first") as first:
            first.table.check_owned(first.owned)
            with self.hand(tmp_path, "second", frozenset({min(PARTS)})) as second:
                with pytest.raises(FencedError) as caught:
                    first.table.check_owned(first.owned)
                assert caught.value.partitions == {min(PARTS)}
                second.table.check_owned(second.owned)

    def test_S23_the_same_name_is_not_the_same_owner(self, tmp_path: Path) -> None:
        """A writer that was restarted under its old name fences its former self."""
        with self.hand(tmp_path, "host:1") as first, self.hand(tmp_path, "host:1") as second:
            assert first.owned.token != second.owned.token
            with pytest.raises(FencedError):
                first.write(1)
            second.write(1)
        self.check_holds(tmp_path, second.at)

    def test_S24_owners_of_different_partitions_commit_at_once(self, tmp_path: Path) -> None:
        """In threads, each with an opening of its own: nobody's rows or offsets are lost."""
        every = sorted(PARTS)
        halves = frozenset(every[::2]), frozenset(every[1::2])
        one, other = self.hand(tmp_path, "a", halves[0]), self.hand(tmp_path, "b", halves[1])
        with one as a, other as b, ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(lambda h: [h.write(1) for _ in range(8)], hand) for hand in (a, b)]
            for job in jobs:
                job.result(self.wait_s)
        assert dict(self.head(tmp_path).offsets) == {**a.at, **b.at} == dict.fromkeys(every, 8)
        self.check_holds(tmp_path, {**a.at, **b.at})

    def test_S25_killed_before_writing_nothing_is_different(self, tmp_path: Path) -> None:
        """It had taken over, no more: rows and offsets stand."""
        with self.hand(tmp_path, "first") as first:
            first.write(2)
            snapshot, at = self.head(tmp_path).snapshot_id, dict(first.at)
        with self.hand(tmp_path, "killed"):
            pass
        head = self.head(tmp_path)
        assert (dict(head.offsets), head.snapshot_id) == (at, snapshot)
        self.check_holds(tmp_path, at)

    def test_S26_killed_after_its_files_the_next_one_writes_the_rows_once(self, tmp_path: Path) -> None:
        """Files that no commit names are nobody's rows."""
        with self.hand(tmp_path, "killed") as killed:
            killed.write(1)
            killed.stage(3)
        with self.hand(tmp_path, "next") as following:
            assert following.at == killed.at
            following.write(3)
        self.check_holds(tmp_path, following.at)

    def test_S27_killed_after_its_commit_the_next_one_goes_on_behind_it(self, tmp_path: Path) -> None:
        """Nobody was told that it landed: the table tells."""
        for turn in range(3):
            with self.hand(tmp_path, f"killed {turn}") as killed:
                assert set(killed.at.values()) == {turn * 2}
                killed.write(2)
        self.check_holds(tmp_path, killed.at)

    @needs("loses_replies")
    def test_S28_a_lost_reply_is_an_unknown_outcome_and_the_head_tells(self, tmp_path: Path) -> None:
        """Landed or not: rows and offsets agree, and what did not land can be written again."""
        for lands in (True, False):
            with self.hand(tmp_path, f"lands: {lands}") as hand:
                hand.write(1)
                staged, to = hand.stage(2)
                before, unknown = dict(hand.at), False
                with self.losing_reply(hand.table, lands=lands):
                    try:
                        hand.commit(staged, to)
                    except CommitUnknownError:
                        unknown = True
                there = dict(self.head(tmp_path).offsets)
                assert there in ((before, to) if unknown else (to,))
                self.check_holds(tmp_path, there)
                hand.at = there
                if there == before:
                    hand.write(2)
            self.check_holds(tmp_path, hand.at)

    @needs("processes")
    def test_S29_a_writer_killed_at_any_moment_leaves_every_row_once(self, tmp_path: Path) -> None:
        """Other processes commit without pause, and each is killed with SIGKILL; a commit that was told of is there."""
        commits = 0
        with self.hand(tmp_path) as hand:
            hand.write(1)
        for turn in range(2):
            with self.writing(tmp_path) as child:
                assert child.stdout is not None
                for _ in range(2 + turn):
                    line = child.stdout.readline()
                    assert line, f"the other process ended: {child.stderr.read() if child.stderr else ''}"
                    commits += 1
                child.kill()
                commits += child.stdout.read().count("\n")
            head = self.head(tmp_path)
            assert set(head.offsets) == PARTS
            self.check_holds(tmp_path, head.offsets)
        assert min(head.offsets.values()) >= commits
        with self.hand(tmp_path, "last") as hand:
            hand.write(1)
        self.check_holds(tmp_path, hand.at)
