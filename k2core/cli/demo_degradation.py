"""`k2 demo degradation`: drives a real writer through all five levels, brings everything back, and proves it.

An embedded log, a writer process that is slow by its settings and whose thresholds are low, and as much load as makes it
break the circuit; then the load is taken away step by step, the levels end, `k2 backfill --from-log` brings back what
was shed, and the table, read with pyiceberg alone, must hold every trade once. Everything is told on stderr; the table,
or with `--json` one JSON object, is on stdout. The exit code is 1 unless all of it held.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from k2core.cli.child import Child, ChildSpec
from k2core.cli.demo_load import PIECE, TIERS, TOPIC, Load
from k2core.cli.demo_stage import LEVELS, Stage, Step, bring_back, drive
from k2core.cli.session import Session, current
from k2core.cli.terminal import print_json, print_table

if TYPE_CHECKING:
    from k2core.interfaces.shed import Shed

SCALE, QUICK = 10, 1
"""Of triggers, commits and times: `--quick` takes a tenth of them."""
TRIGGERS = {"soft_lag": 3_000, "graceful_lag": 6_000, "aggressive_lag": 10_000, "break_lag": 16_000}
POLL_RECORDS, COMMIT_ROWS = 2 * PIECE, 300
LIMIT_S, MOST = {QUICK: 120.0, SCALE: 600.0}, {QUICK: 1_000_000, SCALE: 5_000_000}
"""By scale: seconds that each part may take, trades that may be sent."""
HEADERS = ("level", "entered_s", "why", "shed", "symbols", "left_s", "came_back")


@click.command()
@click.option("--quick", is_flag=True, help="Half a minute instead of several: lower triggers, shorter times.")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Keep the data here; an empty folder.")
@click.option("--json", "as_json", is_flag=True, help="One object instead of the table.")
def degradation(quick: bool, keep: Path | None, as_json: bool) -> int:
    """Drive a writer through the five levels, bring back what it shed, and prove the table whole."""
    from k2core.cli.demo import folder_of
    from k2core.cli.demo_run import interrupted

    with folder_of(keep) as folder, interrupted() as stopped:
        found = play(current(), folder, QUICK if quick else SCALE, stopped)
    if as_json:
        print_json(found)
    else:
        print_table(HEADERS, [[_shown(step[name]) for name in HEADERS] for step in found["levels"]])
    why = found["why"]
    click.echo("proved: all five levels were entered and left, and every trade is in the table once" if found["ok"] else
               f"NOT PROVED: {why}", err=True)  # fmt: skip
    return 0 if found["ok"] else 1


def play(session: Session, folder: Path, scale: int, stopped: Sequence[int]) -> dict[str, Any]:
    """Load, levels, backfill, proof."""
    from k2core.cli.demo import stop
    from k2core.cli.topics import specs_of
    from k2core.config import load_config
    from k2core.config.build import Assembly

    file = write_settings(folder, scale)
    click.echo(about(scale), err=True)
    assembly = Assembly(load_config(file), session.registry, session.clock)
    command = [sys.executable, "-m", "k2core.cli.main", "--config", str(file)]
    child = Child(ChildSpec(name="write", command=[*command, "write"]), relay=lambda line: None)
    with assembly.broker() as log, assembly.query_source() as source:
        log.ensure_topics(specs_of([TOPIC], assembly.data_types()))
        with closing(log.producer()) as producer:
            load = Load(producer, MOST[scale])
            child.start(session.clock.monotonic())
            try:
                table = source.table(assembly.data_types()["trades"])
                stage = Stage(assembly, log, table, child, load, LIMIT_S[scale], stopped)
                told = drive(stage)
                shed = table.newest().shed
                restored = bring_back(stage, command)
            finally:
                stop(child)
    return _result(folder, load, told, shed, restored)


def about(scale: int) -> str:
    """What is not as it is elsewhere."""
    triggers = ", ".join(f"{level} at {n * scale:,}" for level, n in zip(LEVELS, TRIGGERS.values(), strict=True))
    return (
        f"k2 demo degradation: a real k2 write, slow by its settings: it reads {POLL_RECORDS} records at a time and commits "
        f"{COMMIT_ROWS * scale:,} rows; low thresholds: {triggers} records behind"
    )


def write_settings(folder: Path, scale: int) -> Path:
    """The demo's `k2.toml`: a writer that reads little at a time, commits small and often, and degrades early."""
    lines = ["[broker]", 'use = "embedded"', 'path = "data/log.db"']
    lines += ["", "[sinks.lake]", 'use = "iceberg"', 'warehouse = "data/warehouse"']
    lines += ["", "[writer]", f"poll_records = {POLL_RECORDS}", f"commit_rows = {COMMIT_ROWS * scale}"]
    lines += ["commit_interval_s = 1", "min_commit_interval_s = 0.5"]
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
