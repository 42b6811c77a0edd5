"""The demo of degradation while it runs: a load that keeps a real writer so far behind, and the backfill after it.

The writer is never given more than puts it as far behind as a level needs, so the load is as large as the writer is fast.
Survives nothing, but says what failed: the writer that ended, the part that took too long, the backfill's own words.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from k2core.broker.spans import lag_of
from k2core.cli.child import Child, word_exit
from k2core.cli.demo_load import TOPIC, Load
from k2core.errors import K2Error
from k2core.telemetry.status import read_statuses

if TYPE_CHECKING:
    from k2core.config.build import Assembly
    from k2core.interfaces.broker import Broker
    from k2core.interfaces.query import SourceTable

LEVELS = ("SOFT", "GRACEFUL", "AGGRESSIVE", "CIRCUIT_BREAK")
ABOVE, GROWTH, BELOW = 1.2, 0.15, 0.4
"""Of a trigger: how far behind the writer is kept for a level to begin, how much more in each `trend_s` (a lag that falls
makes no level), and how far for it to end."""
SHORT_OF_NEXT = 0.95
"""Of the next trigger: so far at most, for levels are entered one by one."""
TURN_S = 0.05
ERROR = "error: "


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


class Stage:
    """What is watched, and how long it may take.

    Args:
        assembly: The settings.
        log: The log.
        table: What is stored.
        child: The writer.
        load: What is sent.
        limit_s: Seconds for each part.
        stopped: Not empty once the user wants no more.
    """

    def __init__(
        self, assembly: Assembly, log: Broker, table: SourceTable, child: Child, load: Load, limit_s: float,
        stopped: Sequence[int] = (),
    ) -> None:  # fmt: skip
        from k2core.cli.demo_levels import LevelTrace

        self.assembly, self.log, self.child, self.load, self.limit_s = assembly, log, child, load, limit_s
        self.table, self._stopped = table, stopped
        self.clock = assembly.clock
        self.began = self.clock.monotonic()
        self.trace = LevelTrace(log, self.clock.now_us() / 1e6)

    def running(self) -> bool:
        """Whether the writer says that it runs."""
        status = read_statuses(self.assembly.config.run.path).get("write")
        return status is not None and status.state == "running"

    def behind(self) -> int:
        """Records in the log that the table does not account for."""
        ends, stored = self.log.ends([TOPIC.name]), self.table.newest().offsets
        return sum(lag_of(ends, stored).values())

    def say(self, line: str) -> None:
        """Tell it, with the seconds since the start."""
        click.echo(f"{self.clock.monotonic() - self.began:6.1f} s  {line}", err=True)

    def check(self, what: str, since: float) -> None:
        """Whether it may go on.

        Raises:
            K2Error: The part that began then takes too long, or the writer ended.
            KeyboardInterrupt: The user wants no more.
        """
        if self._stopped:
            raise KeyboardInterrupt
        if not self.child.alive:
            raise K2Error(f"k2 write ended before {what}: {self.child.last_line.removeprefix(ERROR)}")
        if self.clock.monotonic() - since > self.limit_s:
            raise K2Error(
                f"it took more than {self.limit_s:g} s until {what}; {self.behind():,} records are not stored"
            )

    def until(self, what: str, holds: Callable[[], bool], behind: Callable[[float], float]) -> None:
        """Keep the writer so far behind until something holds.

        Args:
            what: For the message.
            holds: What is waited for.
            behind: Records to be behind, by the seconds that passed; the load sends what is missing.

        Raises:
            K2Error: It did not hold in time, the writer ended, or it took more than the load may send.
        """
        began = self.clock.monotonic()
        while not holds():
            self.check(what, began)
            self.load.send(int(behind(self.clock.monotonic() - began)) - self.behind())
            for line in self.trace.look():
                self.say(line)
            time.sleep(TURN_S)


def drive(stage: Stage) -> list[Step]:
    """Up through the levels, each by more load than the one before, down again as it is taken away, until all is stored.

    Raises:
        K2Error: See `Stage.until`.
    """
    trace, triggers = stage.trace, dict(zip(LEVELS, stage.assembly.config.degradation.triggers("lag"), strict=True))
    stage.until("k2 write has begun", stage.running, lambda passed: 0)
    following = [*list(triggers.values())[1:], float("inf")]
    for (level, trigger), further in zip(triggers.items(), following, strict=True):
        _rise(stage, level, trigger, SHORT_OF_NEXT * further)
    for level, trigger in reversed(triggers.items()):
        _fall(stage, level, BELOW * trigger)
    stage.say(f"the load ends after {stage.load.records:,} trades")
    stage.until("all is stored", lambda: trace.level == "NORMAL" and not stage.behind(), lambda passed: 0)
    return [
        Step(name, round(at, 1), why, None if left is None else round(left, 1)) for name, at, why, left in trace.steps()
    ]


def _rise(stage: Stage, level: str, trigger: float, most: float) -> None:
    trend_s = stage.assembly.config.degradation.trend_s

    def behind(passed: float) -> float:
        return min(most, ABOVE * trigger * (1 + GROWTH * passed / trend_s))

    stage.until(f"{level} begins", lambda: level in stage.trace.entered, behind)


def _fall(stage: Stage, level: str, behind: float) -> None:
    stage.until(f"{level} ends", lambda: stage.trace.level != level, lambda passed: behind)


def bring_back(stage: Stage, command: Sequence[str]) -> list[dict[str, Any]]:
    """Run `k2 backfill --from-log` as anybody would.

    Args:
        stage: Its writer stores what comes back.
        command: `k2` with its settings.

    Returns:
        What became of each range.

    Raises:
        K2Error: It failed, with its last words; or it takes too long.
    """
    stage.say("k2 backfill --from-log")
    began = stage.clock.monotonic()
    arguments = [*command, "backfill", "--from-log", "--json"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:  # noqa: S603
        try:
            while (said := _said(run)) is None:
                stage.check("k2 backfill --from-log has ended", began)
        finally:
            run.kill()  # of one that has ended, nothing
    if run.returncode:
        last = next(reversed(said[1].strip().splitlines()), "it said nothing").removeprefix(ERROR)
        raise K2Error(f"k2 backfill --from-log failed: {word_exit(run.returncode)}: {last}")
    found: list[dict[str, Any]] = json.loads(said[0])
    return found


def _said(run: subprocess.Popen[str]) -> tuple[str, str] | None:
    try:
        return run.communicate(timeout=TURN_S)
    except subprocess.TimeoutExpired:
        return None
