"""Twice the load that a real writer takes: memory stays flat, every shed range is known, all of it comes back.

Half a minute by default; `K2_LONG=1` loads for ten minutes.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from k2core.broker.spans import lag_of
from k2core.cli.child import Child, ChildSpec
from k2core.cli.demo_degradation import write_settings
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


def resident(child: Child) -> int:
    return int(pathlib.Path(f"/proc/{child.pid}/statm").read_text().split()[1]) * PAGE


class Stand:
    """A log, a table and a load on them."""

    def __init__(self, assembly: Assembly, table: SourceTable, log: object, load: Load) -> None:
        self.assembly, self.table, self.log, self.load = assembly, table, log, load

    def behind(self) -> int:
        return sum(lag_of(self.log.ends([TOPIC.name]), self.table.newest().offsets).values())  # type: ignore[attr-defined]

    def speed(self) -> float:
        """Records a second that the writer stores."""
        self.load.send(600)
        until(lambda: not self.behind(), 60, "the first commit")
        began = time.monotonic()
        for _ in range(3):
            self.load.send(PROBE // 3)
            until(lambda: self.behind() < PROBE // 3, 60, "storing")
        until(lambda: not self.behind(), 60, "storing")
        return PROBE / (time.monotonic() - began)

    def press(self, child: Child, rate: float, trace: LevelTrace) -> list[int]:
        """Send so many a second for `LOAD_S`; the writer's resident memory meanwhile.

        More and more, until the writer sheds: what was measured as its speed may be that of a machine that was busy.
        """
        ends, last, due, found = time.monotonic() + LOAD_S, time.monotonic(), 0.0, []
        patient = last + PATIENT_S
        while (now := time.monotonic()) < ends:
            assert child.alive, child.last_line
            if now > patient and "GRACEFUL" not in trace.entered:
                rate, patient = 1.5 * rate, now + PATIENT_S
            due, last = due + rate * (now - last), now
            before = self.load.records
            self.load.send(int(due))
            due -= self.load.records - before
            trace.look()
            found.append(resident(child))
            time.sleep(0.05)
        return found


@pytest.mark.timeout(LOAD_S * 4 + 300)
@pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_twice_the_load_is_shed_by_name_and_comes_back(tmp_path: pathlib.Path) -> None:
    file = write_settings(tmp_path, 1)
    assembly = Assembly(load_config(file), discover(), SystemClock())
    with assembly.broker() as log, assembly.query_source() as source, closing(log.producer()) as producer:
        log.ensure_topics(specs_of([TOPIC], assembly.data_types()))
        stand = Stand(assembly, source.table(assembly.data_types()["trades"]), log, Load(producer))
        with writing(file) as child:
            trace, speed = LevelTrace(log, time.time()), stand.speed()
            memory = stand.press(child, 2 * speed, trace)
            until(lambda: not stand.behind() and not trace.look() and trace.level == "NORMAL", 120, "coming back")
            shed = stand.table.newest().shed
            check_levels(trace, shed)
            check_accounts(stand, shed)
            check_flat(memory)
            told = backfill(file)
            assert sum(one["records"] for one in told if one["state"] == "restored") == sum(one.records for one in shed)
            assert not [one for one in told if one["state"] != "restored"]
    assert prove_whole(tmp_path / "data" / "warehouse", stand.load.issued) == ""
    print(f"{speed:,.0f}/s stored, {2 * speed:,.0f}/s sent for {LOAD_S} s, {stand.load.records:,} records, "
          f"{sum(one.records for one in shed):,} shed in {len(shed)} ranges, "
          f"{len(json.dumps([one.symbols for one in shed]))} bytes of names, "
          f"memory {memory[0] >> 20} to {max(memory) >> 20} MiB, levels {sorted(trace.entered)}")  # fmt: skip


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


def backfill(file: pathlib.Path) -> list[dict[str, object]]:
    command = [sys.executable, "-m", "k2core.cli.main", "--config", str(file), "backfill", "--from-log", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_S * 2 + 240, check=False)
    assert run.returncode == 0, run.stderr
    found: list[dict[str, object]] = json.loads(run.stdout)
    return found


def _all(stand: Stand) -> object:
    from k2core.interfaces.query import Selection

    return Selection(below=stand.log.ends([TOPIC.name]))  # type: ignore[attr-defined]
