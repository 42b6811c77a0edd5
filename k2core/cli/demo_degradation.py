"""`k2 demo degradation`: drives a real writer through all five levels, brings everything back, and proves it.

An embedded log, a writer process whose thresholds are scaled down, and a load that grows until the writer breaks the
circuit; then it is taken away step by step, the levels end, `k2 backfill --from-log` brings back what was shed, and the table, read with
pyiceberg alone, must hold every trade once. Everything is told on stderr; the table, or with `--json` one JSON object, is
on stdout. The exit code is 1 unless all of it held.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from k2core.broker.spans import lag_of
from k2core.cli.child import Child, ChildSpec
from k2core.cli.demo_load import TIERS, TOPIC, Load
from k2core.cli.session import Session, current
from k2core.cli.terminal import print_json, print_table
from k2core.errors import K2Error
from k2core.telemetry.status import read_statuses

if TYPE_CHECKING:
    from k2core.config.build import Assembly
    from k2core.interfaces.broker import Broker
    from k2core.interfaces.query import SourceTable
    from k2core.interfaces.shed import Shed

SCALE, QUICK = 10, 1
"""Of the triggers: `--quick` takes a tenth of them, and of the times."""
TRIGGERS = {"soft_lag": 3_000, "graceful_lag": 6_000, "aggressive_lag": 10_000, "break_lag": 16_000}
ABOVE, BELOW, GROWTH = 1.1, 0.4, 0.03
"""Of a trigger: how far behind the writer is kept for a level to begin, and to end; and how that grows each second."""
TURN_S = 0.05
LEVELS = ("SOFT", "GRACEFUL", "AGGRESSIVE", "CIRCUIT_BREAK")
LIMIT_S = {QUICK: 60.0, SCALE: 600.0}
HEADERS = ("level", "entered_s", "why", "shed", "symbols", "left_s", "came_back")


@dataclass(slots=True)
class Step:
    """One level, as it was told."""

    level: str
    entered_s: float
    why: str
    left_s: float | None = None
    shed: int = 0
    symbols: list[str] = field(default_factory=list)
    came_back: str = ""


@click.command()
@click.option("--quick", is_flag=True, help="A minute instead of several: lower triggers, shorter times.")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Keep the data here; an empty folder.")
@click.option("--json", "as_json", is_flag=True, help="One object instead of the table.")
def degradation(quick: bool, keep: Path | None, as_json: bool) -> int:
    """Drive a writer through the five levels, bring back what it shed, and prove the table whole."""
    from k2core.cli.demo import folder_of
    from k2core.cli.demo_run import interrupted

    with folder_of(keep) as folder, interrupted():
        found = play(current(), folder, QUICK if quick else SCALE)
    if as_json:
        print_json(found)
    else:
        print_table(HEADERS, [[_shown(step[name]) for name in HEADERS] for step in found["levels"]])
    why = found["why"]
    click.echo("proved: all five levels were entered and left, and every trade is in the table once" if found["ok"] else
               f"NOT PROVED: {why}", err=True)  # fmt: skip
    return 0 if found["ok"] else 1


def play(session: Session, folder: Path, scale: int) -> dict[str, Any]:
    """Load, levels, backfill, proof."""
    from k2core.cli.demo import stop
    from k2core.cli.topics import specs_of
    from k2core.config import load_config
    from k2core.config.build import Assembly

    file = write_settings(folder, scale)
    assembly = Assembly(load_config(file), session.registry, session.clock)
    command = [sys.executable, "-m", "k2core.cli.main", "--config", str(file)]
    child = Child(ChildSpec(name="write", command=[*command, "write"]), relay=lambda line: None)
    with assembly.broker() as log, assembly.query_source() as source:
        log.ensure_topics(specs_of([TOPIC], assembly.data_types()))
        with closing(log.producer()) as producer:
            load = Load(producer)
            child.start(session.clock.monotonic())
            try:
                table = source.table(assembly.data_types()["trades"])
                told = _drive(Stage(assembly, log, table, child, load, LIMIT_S[scale]))
                shed = table.newest().shed
                restored = _backfill(command)
            finally:
                stop(child)
    return _result(folder, load, told, shed, restored)


class Stage:
    """The demo while it runs: what it watches, and how long it may take.

    Args:
        assembly: The settings.
        log: The log.
        table: What is stored.
        child: The writer.
        load: What is sent.
        limit_s: Seconds for each part.
    """

    def __init__(
        self, assembly: Assembly, log: Broker, table: SourceTable, child: Child, load: Load, limit_s: float
    ) -> None:
        from k2core.cli.demo_levels import LevelTrace

        self.assembly, self.log, self.child, self.load, self.limit_s = assembly, log, child, load, limit_s
        self.table = table
        self.clock = assembly.clock
        self.began = self.clock.monotonic()
        self.trace = LevelTrace(log, self.clock.now_us() / 1e6)

    def running(self) -> set[str]:
        """Processes that say that they run."""
        found = read_statuses(self.assembly.config.run.path)
        return {name for name, status in found.items() if status.state == "running"}

    @property
    def passed(self) -> float:
        """Seconds since the start."""
        return self.clock.monotonic() - self.began

    def behind(self) -> int:
        """Records in the log that the table does not account for."""
        ends, stored = self.log.ends([TOPIC.name]), self.table.newest().offsets
        return sum(lag_of(ends, stored).values())

    def until(self, what: str, holds: Callable[[], bool], behind: Callable[[float], float]) -> None:
        """Keep the writer so far behind until something holds.

        Args:
            what: For the message.
            holds: What is waited for.
            behind: Records to be behind, by the seconds that passed; the load sends what is missing.

        Raises:
            K2Error: It did not hold in time, or the writer ended.
        """
        began = self.clock.monotonic()
        while not holds():
            passed = self.clock.monotonic() - began
            if not self.child.alive:
                raise K2Error(f"k2 write ended before {what}: {self.child.last_line.removeprefix('error: ')}")
            if passed > self.limit_s:
                raise K2Error(f"it took more than {self.limit_s:g} s until {what}")
            self.load.send(int(behind(passed)) - self.behind())
            for line in self.trace.look():
                click.echo(f"{self.passed:6.1f} s  {line}", err=True)
            time.sleep(TURN_S)


def _drive(stage: Stage) -> list[Step]:
    """Up through the levels, each by more load than the one before, down again as it is taken away, until all is stored."""
    trace, triggers = stage.trace, dict(zip(LEVELS, stage.assembly.config.degradation.triggers("lag"), strict=True))
    stage.until("k2 write has begun", lambda: "write" in stage.running(), lambda passed: 0)
    for level, trigger in triggers.items():
        _rise(stage, level, ABOVE * trigger)
    for level, trigger in reversed(triggers.items()):
        _fall(stage, level, BELOW * trigger)
    click.echo(f"{stage.passed:6.1f} s  the load ends after {stage.load.records:,} trades", err=True)
    stage.until("all is stored", lambda: trace.level == "NORMAL" and not stage.behind(), lambda passed: 0)
    return [
        Step(name, round(at, 1), why, None if left is None else round(left, 1)) for name, at, why, left in trace.steps()
    ]


def _rise(stage: Stage, level: str, behind: float) -> None:
    """So far behind, and ever a little more: a lag that falls makes no level."""
    stage.until(f"{level} begins", lambda: level in stage.trace.entered, lambda passed: behind * (1 + GROWTH * passed))


def _fall(stage: Stage, level: str, behind: float) -> None:
    stage.until(f"{level} ends", lambda: stage.trace.level != level, lambda passed: behind)


def _backfill(command: list[str]) -> list[dict[str, Any]]:
    """Run `k2 backfill --from-log` as anybody would.

    Raises:
        K2Error: It failed.
    """
    click.echo("  k2 backfill --from-log", err=True)
    run = subprocess.run(  # noqa: S603 - our own command line
        [*command, "backfill", "--from-log", "--json"], capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise K2Error(f"k2 backfill failed: {run.stderr.strip().splitlines()[-1:]}")
    found: list[dict[str, Any]] = json.loads(run.stdout)
    return found


def write_settings(folder: Path, scale: int) -> Path:
    """The demo's `k2.toml`: a writer that commits small and often, and degrades early."""
    lines = ["[broker]", 'use = "embedded"', 'path = "data/log.db"']
    lines += ["", "[sinks.lake]", 'use = "iceberg"', 'warehouse = "data/warehouse"']
    lines += ["", "[writer]", f"commit_rows = {500 * scale}", "commit_interval_s = 1", "min_commit_interval_s = 0.5"]
    lines += ["", "[degradation]", *(f"{name} = {value * scale}" for name, value in TRIGGERS.items())]
    lines += [f"trend_s = {0.6 * scale}", f"down_s = {1.0 * scale}", f"pause_s = {1.5 * scale}", "look_s = 0.1"]
    lines += [f"half_open_records = {500 * scale}", "announce_s = 5"]
    lines += ["", "[degradation.tiers]", *(f"{s} = {tier}" for tier, symbols in TIERS.items() for s in symbols), ""]
    file = folder / "k2.toml"
    file.write_text("\n".join(lines), "utf-8")
    return file


def _result(
    folder: Path, load: Load, told: list[Step], shed: tuple[Shed, ...], restored: list[dict[str, Any]]
) -> dict[str, Any]:
    from k2core.cli.demo_levels import prove_whole

    back = sum(one["records"] for one in restored if one["state"] == "restored")
    for step in told:
        mine = [one for one in shed if one.level == step.level]
        step.shed = sum(one.records for one in mine)
        step.symbols = sorted({name for one in mine for name in one.names})
        step.came_back = "nothing was shed" if not step.shed else "by k2 backfill --from-log"
    why = prove_whole(folder / "data" / "warehouse", load.issued)
    missing = {"NORMAL", *LEVELS} - {step.level for step in told}
    if missing and not why:
        why = f"never entered: {', '.join(sorted(missing))}"
    return {
        "levels": [asdict(step) for step in told], "sent": load.records, "shed": sum(one.records for one in shed),
        "shed_ranges": len(shed), "restored": back, "ok": not why, "why": why,
    }  # fmt: skip


def _shown(value: Any) -> Any:
    return " ".join(value) if isinstance(value, list) else "" if value is None else value
