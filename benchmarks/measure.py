"""Measuring: CPU time of alternating runs, the best of each side, and the ratio of the two."""

from __future__ import annotations

import json
import pathlib
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field


@dataclass
class Row:
    """One line of the table. `ratio` is reference ÷ ours for work, ours ÷ reference for latencies."""

    path: str
    ours: float
    unit: str
    reference: float | None = None
    ratio: float | None = None
    must: str = ""
    holds: bool | None = None
    notes: dict[str, float] = field(default_factory=dict)


def alternating(ours: Callable[[], None], reference: Callable[[], None], repeat: int = 3) -> tuple[float, float]:
    """Best CPU seconds of each, run in turn so that both see the same machine."""
    best = [float("inf")] * 2
    for _ in range(repeat):
        for side, work in enumerate((ours, reference)):
            start = time.process_time()
            work()
            best[side] = min(best[side], time.process_time() - start)
    return best[0], best[1]


def percentiles(call: Callable[[], object], times: int) -> tuple[float, float]:
    """p50 and p99 of a call's wall time, in ms."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(1e3 * (time.perf_counter() - start))
    quantiles = statistics.quantiles(taken, n=100)
    return quantiles[49], quantiles[98]


def work_row(path: str, rows: int, seconds: tuple[float, float], must: float) -> Row:
    """A row for work: thousand rows a CPU second on both sides; `must` is the least ratio ours ÷ reference."""
    ours, reference = rows / seconds[0] / 1e3, rows / seconds[1] / 1e3
    ratio = ours / reference
    return Row(path, ours, "k rows/CPU s", reference, ratio, f"≥ {must:.0%}", ratio >= must)


def show(rows: list[Row], out: pathlib.Path) -> None:
    """Print the table and write it as JSON."""
    print(f"\n{'path':58s} {'k2':>10s} {'bare':>10s} {'ratio':>7s}  must")
    for r in rows:
        bare = f"{r.reference:10.1f}" if r.reference is not None else " " * 10
        ratio = f"{r.ratio:7.2f}" if r.ratio is not None else " " * 7
        verdict = {True: "", False: "  ← not reached", None: ""}[r.holds]
        notes = "  " + ", ".join(f"{k} {v:.1f}" for k, v in r.notes.items()) if r.notes else ""
        print(f"{r.path:58s} {r.ours:10.1f} {bare} {ratio}  {r.must} {r.unit}{verdict}{notes}")
    out.write_text(json.dumps([asdict(r) for r in rows], indent=1) + "\n")
