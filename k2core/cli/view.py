"""What `k2 up` shows while it runs: live figures on a terminal, a plain line now and then elsewhere. On stderr."""

from __future__ import annotations

import shutil
import sys
import threading
from dataclasses import dataclass

import click

from k2core.cli.asking import left_out
from k2core.clock import Clock
from k2core.telemetry.status import Status

PLAIN_EVERY_S = 10.0
LIVE_EVERY_S = 0.5
FIGURES = "k2: "
"""How a plain line of figures begins."""
SEPARATOR = " · "


@dataclass(frozen=True, slots=True)
class Numbers:
    """The figures of a running k2, taken from its processes' status files: what they did since they started.

    Only `lag` and `tail_rows` are what there is now.
    """

    connections: int = 0
    records: int = 0
    stored: int = 0
    duplicates: int = 0
    dead: int = 0
    commits: int = 0
    lag: int = 0
    tail_rows: int = 0
    missing_ids: int = 0
    left_out: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """All of it in one line; what is wrong stands last."""
        parts = [
            f"connections {self.connections}", f"captured {self.records:,}", f"stored {self.stored:,}",
            f"commits {self.commits:,}", f"lag {self.lag:,}", f"duplicates dropped {self.duplicates:,}",
            f"dead letters {self.dead:,}", f"tail {self.tail_rows:,}",
        ]  # fmt: skip
        if self.missing_ids:
            parts.append(f"MISSING IDS {self.missing_ids:,}")
        if self.left_out:
            parts.append(f"NOT CAPTURED {', '.join(self.left_out)}")
        return SEPARATOR.join(parts)


def numbers(statuses: dict[str, Status]) -> Numbers:
    """Read the figures."""

    def value(process: str, metric: str, **labels: str) -> int:
        return int(statuses[process].value(metric, **labels)) if process in statuses else 0

    return Numbers(
        connections=value("ingest", "k2_ingest_connections"),
        records=value("ingest", "k2_ingest_records_total"),
        stored=value("write", "k2_writer_records_total", outcome="stored"),
        duplicates=value("write", "k2_writer_records_total", outcome="duplicate"),
        dead=value("write", "k2_writer_records_total", outcome="dead")
        + value("ingest", "k2_ingest_frames_total", outcome="rejected"),
        commits=value("write", "k2_writer_commits_total", outcome="landed"),
        lag=value("write", "k2_writer_lag_records"),
        tail_rows=value("serve", "k2_serve_tail_rows"),
        missing_ids=value("write", "k2_writer_missing_ids"),
        left_out=tuple(left_out(statuses)),
    )


class View:
    """Prints lines from any thread, and below them, on a terminal, the live line."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._live = sys.stderr.isatty()
        self._shown, self._next = "", 0.0

    def say(self, line: str) -> None:
        """Print a line."""
        with self._lock:
            click.echo(self._wipe() + line + (f"\n{self._shown}" if self._shown else ""), err=True, nl=not self._shown)

    def tick(self, statuses: dict[str, Status]) -> None:
        """Show the newest figures, if it is time to."""
        now = self._clock.monotonic()
        if now < self._next or not statuses:
            return
        self._next = now + (LIVE_EVERY_S if self._live else PLAIN_EVERY_S)
        line = numbers(statuses).line
        if not self._live:
            self.say(FIGURES + line)
            return
        with self._lock:
            width = shutil.get_terminal_size().columns
            wiped, self._shown = self._wipe(), wrapped(line, width - 1)
            click.echo(wiped + self._shown, err=True, nl=False)

    def clear(self) -> None:
        """Leave the terminal clean; the live line comes back with the next figures."""
        with self._lock:
            click.echo(self._wipe(), err=True, nl=False)
            self._shown = ""

    def _wipe(self) -> str:
        return "\r\x1b[K" + "\x1b[1A\x1b[K" * self._shown.count("\n") if self._shown else ""


def wrapped(line: str, width: int) -> str:
    """A line of figures over as many lines as it needs, each of whole figures; one that is too long is cut."""
    lines: list[str] = []
    for figure in line.split(SEPARATOR):
        if lines and len(lines[-1]) + len(SEPARATOR) + len(figure) <= width:
            lines[-1] += SEPARATOR + figure
        else:
            lines.append(figure[:width])
    return "\n".join(lines)
