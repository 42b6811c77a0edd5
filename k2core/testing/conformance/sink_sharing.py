"""MUSTs of a sink that several owners write to at once: each for itself, whatever becomes of the others."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from k2core.errors import FencedError
from k2core.testing.conformance.facts import needs
from k2core.testing.conformance.sink_world import IDS, PARTS, TOPIC, SinkFacts

EVERY = sorted(PARTS)


class SharingTests(SinkFacts):
    """Owners of different partitions of one table."""

    def test_S40_taking_more_keeps_what_is_owned(self, tmp_path: Path) -> None:
        """One commit then carries all; where something was lost, nothing changes for anybody."""
        few, rest = frozenset(EVERY[:1]), frozenset(EVERY[1:])
        ids = {TOPIC: IDS[TOPIC]}
        with self.hand(tmp_path, "one", few) as one, self.hand(tmp_path, "former", rest) as former:
            one.write(2)
            former.write(1)
            one.owned = one.table.take_more(one.owned, rest, ids, "one")
            assert one.owned.partitions == PARTS
            with pytest.raises(FencedError):
                former.write(1)
            one.at |= former.at
            one.write(2)
            self.check_holds(tmp_path, one.at)
            with self.hand(tmp_path, "two", few) as two, self.hand(tmp_path, "three", rest) as three:
                with pytest.raises(FencedError) as caught:
                    two.table.take_more(one.owned, frozenset(EVERY[1:2]), ids, "one")
                assert caught.value.partitions
                two.write(1)
                three.write(1)
                self.check_holds(tmp_path, {**two.at, **three.at})

    def test_S41_a_commit_that_is_refused_refuses_no_others(self, tmp_path: Path) -> None:
        """Three owners commit without pause; one of them is fenced on the way."""
        stop = threading.Event()
        with (
            self.hand(tmp_path, "left", frozenset(EVERY[::3])) as a,
            self.hand(tmp_path, "right", frozenset(EVERY[1::3])) as b,
            self.hand(tmp_path, "lost", frozenset(EVERY[2::3])) as lost,
            ThreadPoolExecutor(3) as pool,
        ):

            def until_fenced() -> None:
                while not stop.wait(0.001):
                    try:
                        lost.write(1)
                    except FencedError:
                        return
                raise AssertionError("it was never fenced")

            jobs: list[Future[Any]] = [pool.submit(lambda h: [h.write(1) for _ in range(10)], hand) for hand in (a, b)]
            jobs.append(pool.submit(until_fenced))
            try:
                with self.hand(tmp_path, "newer", frozenset(lost.parts)) as newer:
                    for job in jobs:
                        job.result(self.wait_s)
                    newer.at = {p: self.head(tmp_path).offsets.get(p, 0) for p in newer.at}
                    newer.write(1)
            finally:
                stop.set()
            self.check_holds(tmp_path, {**a.at, **b.at, **newer.at})

    @needs("processes")
    def test_S42_the_death_of_an_owner_stops_nobody(self, tmp_path: Path) -> None:
        """Another process that commits without pause is killed, wherever it is; every commit here goes through."""
        with self.hand(tmp_path, "here", frozenset(EVERY[::2])) as here:
            for _ in range(2):
                with self.writing(tmp_path, frozenset(EVERY[1::2])) as child:
                    assert child.stdout is not None
                    assert child.stdout.readline(), "the other process ended"
                    for _ in range(5):
                        here.write(1)
                    child.kill()
                    child.wait()
                    for _ in range(3):
                        here.write(1)
                head = self.head(tmp_path)
                self.check_holds(tmp_path, head.offsets)
                assert {p: head.offsets[p] for p in here.at} == here.at
