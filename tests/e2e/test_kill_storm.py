"""Exactly once, whatever is killed: a recorded (or generated) tape with doubled frames, and `kill -9` at random moments."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import time

import pytest

from tests.e2e.accepted import verdict
from tests.e2e.capture import Capture, capture, tape, wait_until

LONG = bool(os.environ.get("K2_LONG"))
KILLS = 200 if LONG else 20
POINTS = ["before-write", "after-files", "after-commit", "before-settle"]
QUICK = '\n[ingest]\nlinger_ms = 20\n\n[run]\nlog_level = "WARNING"\n'


def drain(world: Capture) -> None:
    """Stop ingest with what it holds in the log, then commit everything."""
    ingest = world.running[0]
    ingest.send_signal(signal.SIGTERM)
    assert ingest.wait(120) == 0, world.output("ingest")
    last = world.start("write", "--once")
    assert last.wait(120) == 0, world.output("write")


def assert_exact(world: Capture) -> None:
    for name in ("trades", "quotes"):
        found = world.verdict(name)
        assert found.ok, f"{name}: {found}"
        assert found.issued > 100


@pytest.mark.timeout(600 if not LONG else 1800)
def test_everything_is_stored_once_however_often_the_writer_is_killed(tmp_path: pathlib.Path) -> None:
    seed = int(os.environ.get("K2_SEED", time.time_ns() % 1_000_000))
    print(f"repeat with K2_SEED={seed}")
    moments = random.Random(seed)
    # There must be something to write while the last one is killed.
    slow = {"rate": 200, "seconds": 300} if LONG else {}
    with capture(
        tmp_path, tape(**slow), QUICK.replace("[ingest]", "[maintenance]\ninterval_s = 2\n\n[ingest]")
    ) as world:
        world.start("ingest")
        played = world.exchange.play()
        killed = 0
        while killed < KILLS:
            writer = world.start("write")
            time.sleep(moments.uniform(0.9, 2.2))
            assert writer.poll() is None, world.output("write")
            writer.kill()
            writer.wait(120)
            killed += 1
        played.result(600)
        drain(world)
        assert_exact(world)


def test_a_crash_at_each_named_point_costs_and_doubles_nothing(tmp_path: pathlib.Path) -> None:
    """Each twice, in one capture: what a crash leaves is there for the next one. There is something new to commit always."""
    with capture(tmp_path, tape(recordings=None, trades=60_000, seconds=600), QUICK) as world:
        world.start("ingest")
        world.exchange.play()
        for point in 2 * POINTS:
            writer = world.start("write", K2_CRASH_AT=point)
            assert writer.wait(120) == -signal.SIGKILL, f"{point}: {world.output('write')}"
        drain(world)
        for name in ("trades", "quotes"):
            found = verdict(world, name)
            assert found.ok, f"{name}: {found}"
            assert found.issued > 100


def test_a_second_writer_fences_the_first_at_once(tmp_path: pathlib.Path) -> None:
    with capture(tmp_path, tape(recordings=None, trades=3000, seconds=6), QUICK) as world:
        world.start("ingest")
        played = world.exchange.play()
        first = world.start("write")
        wait_until("the first writer commits", lambda: committed(world) > 0, alive=first)
        second = world.start("write")
        assert first.wait(120) == 4, world.output("write")
        assert second.poll() is None
        played.result(120)
        second.send_signal(signal.SIGTERM)
        assert second.wait(120) == 0, world.output("write")
        drain(world)
        assert_exact(world)


def test_a_frozen_writer_that_wakes_up_lands_nothing(tmp_path: pathlib.Path) -> None:
    with capture(tmp_path, tape(recordings=None, trades=3000, seconds=6), QUICK) as world:
        world.start("ingest")
        played = world.exchange.play()
        frozen = world.start("write")
        wait_until("the first writer commits", lambda: committed(world) > 0, alive=frozen)
        freeze(frozen, world.folder / "data" / "warehouse" / "catalog.db")
        before = committed(world)
        second = world.start("write")
        wait_until("the second writer commits, waiting for nobody", lambda: committed(world) > before, alive=second)
        os.kill(frozen.pid, signal.SIGCONT)
        assert frozen.wait(120) == 4, world.output("write")
        played.result(120)
        second.send_signal(signal.SIGTERM)
        assert second.wait(120) == 0, world.output("write")
        drain(world)
        assert_exact(world)


def freeze(process: subprocess.Popen[bytes], catalog: pathlib.Path) -> None:
    """Stop it where it does not hold the catalog's lock: SQLite lets nobody else write until its holder goes on."""
    while True:
        os.kill(process.pid, signal.SIGSTOP)
        if writable(catalog):
            return
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.02)


def writable(database: pathlib.Path) -> bool:
    with contextlib.closing(sqlite3.connect(database, timeout=1, isolation_level=None)) as link:
        try:
            link.execute("begin immediate")
        except sqlite3.OperationalError:
            return False
        link.execute("rollback")
    return True


def committed(world: Capture) -> int:
    """Rows in the trades table; 0 while there is none."""
    from pyiceberg.exceptions import NoSuchTableError
    from sqlalchemy.exc import OperationalError

    try:
        return len(world.rows("trades"))
    except (NoSuchTableError, OperationalError):
        return 0
