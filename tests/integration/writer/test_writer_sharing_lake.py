"""Several writer processes share one real table: they join, leave, are killed and frozen, and every record is there once."""

from __future__ import annotations

import pathlib
import signal
from collections.abc import Iterator

import pytest

from tests.integration.writer.sharing_lake import SESSION_S, Shared

MOVED_S = 120.0
"""Partitions must be somebody else's after about the session; generous, for a machine that is busy with other tests."""


@pytest.fixture
def shared(tmp_path: pathlib.Path) -> Iterator[Shared]:
    made = Shared(tmp_path)
    made.append()
    yield made
    made.close()


def test_writers_join_leave_die_and_freeze(shared: Shared) -> None:
    first = shared.start()
    shared.until_spread(1)
    second, third = shared.start(), shared.start()
    shared.until_spread(3)

    theirs = shared.held()[third.name]
    assert third.end() == 0
    left_s = shared.until_moved(theirs, MOVED_S)
    shared.until_spread(2)

    theirs = shared.held()[second.name]
    second.send(signal.SIGKILL)
    died_s = shared.until_moved(theirs, MOVED_S)

    fourth = shared.start()
    shared.until_spread(2)
    theirs = shared.held()[fourth.name]
    shared.freeze(fourth)
    froze_s = shared.until_moved(theirs, MOVED_S)
    shared.until_spread(1)
    fourth.send(signal.SIGCONT)
    shared.until_spread(2)

    shared.until_whole()
    assert (first.end(), fourth.end()) == (0, 0), shared.said()
    shared.check()
    print(
        f"moved on after: leave {left_s:.1f} s, kill -9 {died_s:.1f} s, freeze {froze_s:.1f} s; session {SESSION_S} s"
    )


def test_writers_are_killed_again_and_again(shared: Shared) -> None:
    """Whoever is killed, wherever it is: in a commit of its own, in one for all, or waiting for one."""
    for _ in range(3):
        shared.start()
    shared.until_spread(3)
    for _ in range(8):
        shared.append()
        victim = shared.writers.pop(0)
        victim.send(signal.SIGKILL)
        victim.end()
        shared.start()
        shared.until_moved({3, 9}, MOVED_S)
    shared.until_spread(3)
    shared.until_whole()
    for writer in shared.writers:
        assert writer.end() == 0, shared.said()
    shared.check()


def test_once_waits_for_the_partitions_of_the_dead(shared: Shared) -> None:
    """And ends when the table has everything that was noted, whoever committed it."""
    other, dead = shared.start(), shared.start()
    shared.until_spread(2)
    shared.freeze(dead)
    for _ in range(5):
        shared.append()
    once = shared.start("--once")
    shared.until(lambda: once.child.poll() is not None, 60, append=False)
    assert once.child.returncode == 0, shared.said()
    ends = {number: end for (_, number), end in shared.lake.log.ends(["market.crypto.trades.binance"]).items()}
    assert shared.head() == ends
    dead.send(signal.SIGCONT)
    for writer in (other, dead):
        assert writer.end() == 0, shared.said()
    shared.check()
