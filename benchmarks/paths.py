"""Whole paths, ours and bare, in turn: frame → log, log → table, many commits."""

from __future__ import annotations

import itertools
import pathlib
import statistics
import time

from benchmarks import tape
from benchmarks.measure import Row, alternating, work_row
from benchmarks.references.capture import BareLog
from benchmarks.references.table import BareTable, drain
from benchmarks.rig import NOW_NS, Rig


def frames_to_log(work: pathlib.Path, rows: int) -> list[Row]:
    """Frame bytes → durable in the log."""
    found, turns = [], itertools.count()
    for size, must in ((1000, 0.4), (100, 0.4)):
        groups = tape.cut(tape.frames(rows if size > 100 else rows // 4), size)

        def ours(groups: list[list[bytes]] = groups) -> None:
            rig = Rig(work / f"ours{next(turns)}")
            for group in groups:
                rig.capture(group)

        def bare(groups: list[list[bytes]] = groups) -> None:
            log = BareLog(work / "bare.db")
            for group in groups:
                log.capture(group, NOW_NS // 1000)

        seconds = alternating(ours, bare)
        found.append(work_row(f"frame → log, {size:,} a batch", sum(map(len, groups)), seconds, must))
    return found


def log_to_table(work: pathlib.Path, rows: int) -> list[Row]:
    """Log → table, catching up."""
    groups = tape.cut(tape.frames(rows), 1000)
    bare_log, turns = BareLog(work / "bare.db"), itertools.count()
    for group in groups:
        bare_log.capture(group, NOW_NS // 1000)
    found = []
    for a_commit, must in ((100_000, 0.5), (10_000, 0.5)):
        rigs = [_filled(work / f"rig{next(turns)}", groups) for _ in range(3)]
        pipelines = iter([(rig, rig.pipeline(a_commit)) for rig in rigs])

        def ours(pipelines: object = pipelines, a_commit: int = a_commit) -> None:
            rig, pipeline = next(pipelines)  # type: ignore[call-overload]
            rig.drain(pipeline, rows, a_commit)

        def bare(a_commit: int = a_commit) -> None:
            drain(bare_log, BareTable(work / "bare"), rows, a_commit)

        found.append(work_row(f"log → table, {a_commit:,} a commit", rows, alternating(ours, bare), must))
    return found


def _filled(folder: pathlib.Path, groups: list[list[bytes]]) -> Rig:
    rig = Rig(folder)
    for group in groups:
        rig.capture(group)
    return rig


def many_commits(work: pathlib.Path, commits: int) -> list[Row]:
    """The last commits of many against the first, sixteen files each."""
    per = 400
    rig, taken = Rig(work / "rig"), []
    pipeline = rig.pipeline(per)
    for group in tape.cut(tape.frames(commits * per), per):
        rig.capture(group)
        while pipeline.waiting < per:
            pipeline.step(0)
        start = time.perf_counter()
        pipeline.commit()
        taken.append(1e3 * (time.perf_counter() - start))
    early, late = taken[20:40], taken[-20:]
    ratio = statistics.median(late) / statistics.median(early)
    worst = max(late) / statistics.median(early)
    label = f"commits {commits - 20:,}–{commits:,} against 20–40, p50"
    return [
        Row(
            label,
            statistics.median(late),
            "ms",
            statistics.median(early),
            ratio,
            "≤ 1.3",
            ratio <= 1.3,
            {"worst ×": worst},
        )
    ]
