"""Twice the load that a real writer takes: memory stays flat, every shed range is known, all of it comes back.

Twenty seconds of load by default; `K2_LONG=1` loads for ten minutes. `-s` shows the figures.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from k2core.broker.spans import lag_of
from k2core.cli.child import Child, ChildSpec
from k2core.cli.demo_degradation import QUICK, TRIGGERS, write_settings
from k2core.cli.demo_levels import LevelTrace, prove_whole
from k2core.cli.demo_load import SYMBOLS, TIERS, TOPIC, Load
from k2core.cli.topics import specs_of
from k2core.clock import SystemClock
from k2core.config import load_config
from k2core.config.build import Assembly
from k2core.discovery import discover
from k2core.interfaces.query import SourceTable
from k2core.interfaces.shed import Shed

LONG = os.environ.get("K2_LONG") == "1"
LOAD_S = 600 if LONG else 20
PROBE = 6_000
"""Records by which the writer's speed is measured."""
PATIENT_S = 4.0
MOST, FURTHEST = 40_000_000, 10 * TRIGGERS["break_lag"]
"""Records in all, and behind, at most: a machine that others keep busy for a while must not make it any number."""
HANG_S = 240.0
"""For what takes seconds."""
PAGE = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def writing(file: pathlib.Path) -> Iterator[Child]:
    command = [sys.executable, "-m", "k2core.cli.main", "--config", str(file), "write"]
    child = Child(ChildSpec(name="write", command=command), relay=lambda line: None)
    child.start(time.monotonic())
    try:
        yield child
    finally:
        child.signal(signal.SIGTERM)
        deadline = time.monotonic() + 30
        while child.alive and time.monotonic() < deadline:
            time.sleep(0.05)
        child.signal(signal.SIGKILL)
        child.reap()


def until(holds: Callable[[], bool], within_s: float, what: str) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"{what} took more than {within_s:g} s"
        time.sleep(0.1)


def resident(pid: int | None) -> int:
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


class Stand:
    """A log, a table and a load on them."""

    def __init__(self, assembly: Assembly, table: SourceTable, log: object, load: Load) -> None:
        self.assembly, self.table, self.log, self.load = assembly, table, log, load

    def behind(self) -> int:
        return sum(lag_of(self.log.ends([TOPIC.name]), self.table.newest().offsets).values())  # type: ignore[attr-defined]

    def speed(self) -> float:
        """Records a second that the writer stores."""
        self.load.send(600)
        until(lambda: not self.behind(), HANG_S, "the first commit")
        began = time.monotonic()
        for _ in range(3):
            self.load.send(PROBE // 3)
            until(lambda: self.behind() < PROBE // 3, HANG_S, "storing")
        until(lambda: not self.behind(), HANG_S, "storing")
        return PROBE / (time.monotonic() - began)

    def press(self, child: Child, rate: float, trace: LevelTrace) -> list[int]:
        """Send so many a second for `LOAD_S`, and until the writer shed; its resident memory meanwhile.

        More, where the writer does not shed for a while, and less, where it gets ever further behind: what was measured as
        its speed may be that of a machine that was busy with other things, or was not and is now.
        """
        ends, last, due, found = time.monotonic() + LOAD_S, time.monotonic(), 0.0, []
        patient = last + PATIENT_S
        while (now := time.monotonic()) < ends or ("GRACEFUL" not in trace.entered and now < ends + HANG_S):
            assert child.alive, child.last_line
            behind, before = self.behind(), self.load.records
            if now > patient:
                rate, patient = rate * changed(trace.level, behind), now + PATIENT_S
            due, last = due + rate * (now - last), now
            self.load.send(min(int(due), FURTHEST - behind))
            due = min(rate, due - (self.load.records - before))
            trace.look()
            found.append(resident(child.pid))
            time.sleep(0.05)
        return found


def changed(level: str, behind: int) -> float:
    """By how much the load is to change."""
    if level in ("NORMAL", "SOFT"):
        return 1.5
    return 1 / 1.5 if behind > FURTHEST // 2 else 1.0


@pytest.mark.timeout(LOAD_S * 5 + 6 * HANG_S)
@pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_twice_the_load_is_shed_by_name_and_comes_back(tmp_path: pathlib.Path) -> None:
    file = write_settings(tmp_path, QUICK)
    assembly = Assembly(load_config(file), discover(), SystemClock())
    with assembly.broker() as log, assembly.query_source() as source, closing(log.producer()) as producer:
        log.ensure_topics(specs_of([TOPIC], assembly.data_types()))
        stand = Stand(assembly, source.table(assembly.data_types()["trades"]), log, Load(producer, most=MOST))
        with writing(file) as child:
            trace, speed = LevelTrace(log, time.time()), stand.speed()
            memory, own = stand.press(child, 2 * speed, trace), resident(os.getpid())
            until(lambda: not stand.behind() and not trace.look() and trace.level == "NORMAL", HANG_S, "coming back")
            shed = stand.table.newest().shed
            print(f"{speed:,.0f}/s stored at NORMAL; {stand.load.records:,} sent in {LOAD_S} s, "
                  f"{sum(one.records for one in shed):,} shed in {len(shed)} ranges, levels {trace.told()}; "
                  f"k2 write: {shown(memory)}; this process: {own >> 20} MiB", flush=True)  # fmt: skip
            check_levels(trace, shed)
            check_accounts(stand, shed)
            check_flat(memory)
            began = time.monotonic()
            told, needed = backfill(file)
            took = time.monotonic() - began
            back = sum(one["records"] for one in told if one["state"] == "restored")
            print(
                f"{back:,} back in {took:.0f} s; k2 backfill: {shown(needed)}; k2 write: {resident(child.pid) >> 20} MiB"
            )
            assert not [one for one in told if one["state"] != "restored"]
            assert back == sum(one.records for one in shed)
            check_flat(needed[len(needed) // 3 :])
    assert prove_whole(tmp_path / "data" / "warehouse", stand.load.issued) == ""


def shown(memory: list[int]) -> str:
    """At the start, in the middle, at the end, and the most."""
    return f"{[memory[at] >> 20 for at in (0, len(memory) // 2, -1)]}, at most {max(memory) >> 20} MiB"


def check_levels(trace: LevelTrace, shed: tuple[Shed, ...]) -> None:
    assert "GRACEFUL" in trace.entered, trace.entered
    kept = {"GRACEFUL": {*TIERS[1], *TIERS[2]}, "AGGRESSIVE": {*TIERS[1]}, "CIRCUIT_BREAK": {*TIERS[1]}}
    for one in shed:
        assert not one.names & kept[one.level], f"{one.level} shed what it keeps: {one}"


def check_accounts(stand: Stand, shed: tuple[Shed, ...]) -> None:
    """Stored and shed are what was sent, symbol by symbol; few ranges tell it."""
    stored = stand.table.symbols(stand.table.newest(), _all(stand), timeout=60).rows.to_pylist()
    rows = {row["symbol"]: row["rows"] for row in stored}
    gone = {symbol: sum(dict(one.symbols).get(symbol, 0) for one in shed) for symbol in SYMBOLS}
    assert {symbol: rows.get(symbol, 0) + gone[symbol] for symbol in SYMBOLS} == stand.load.issued
    assert sum(gone.values()) > 0
    assert len(shed) <= 64 * 16


def check_flat(memory: list[int]) -> None:
    """The last third needs no more than the first, but for what an allocator keeps."""
    third = len(memory) // 3
    assert max(memory[-third:]) <= 1.2 * max(memory[:third]) + (48 << 20), [m >> 20 for m in memory[::20]]


def backfill(file: pathlib.Path) -> tuple[list[dict[str, object]], list[int]]:
    """What it said, and its resident memory meanwhile."""
    command = [sys.executable, "-m", "k2core.cli.main", "--config", str(file), "backfill", "--from-log", "--json"]
    needed: list[int] = []
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        run = subprocess.Popen(command, stdout=out, stderr=err)
        try:
            deadline = time.monotonic() + LOAD_S * 3 + HANG_S
            while run.poll() is None:
                assert time.monotonic() < deadline, "the backfill hangs"
                needed.append(resident(run.pid))
                time.sleep(0.1)
        finally:
            run.kill()
            run.wait()
        out.seek(0)
        err.seek(0)
        assert run.returncode == 0, err.read().decode()
        found: list[dict[str, object]] = json.loads(out.read())
    return found, needed


def _all(stand: Stand) -> object:
    from k2core.interfaces.query import Selection

    return Selection(below=stand.log.ends([TOPIC.name]))  # type: ignore[attr-defined]
