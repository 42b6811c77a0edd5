"""Several `k2 write` on one table over a real Kafka, with shares from a consumer group and commits by one hand.

How old the oldest uncommitted record gets, by what the writers tell of their commits; and for how long partitions rest
when a writer joins or is killed, by the table's offsets, looked at from outside. The sender goes on all the while.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import pathlib
import signal
import time
from collections import defaultdict
from typing import Any

from benchmarks.installed import Installation, Sender
from benchmarks.measure import Row
from benchmarks.real import broker_settings
from benchmarks.rig import TOPIC
from benchmarks.watch import Beside, p50_p99, wait_until

WRITERS, RATE = 4, 4000
INTERVAL_S = 5.0
"""`writer.commit_interval_s` by default."""
OFTEN_S = 0.5
"""The same where a pause is to be seen: what is longer than this is one."""
LOOK_S, SETTLED_S, AFTER_S = 0.05, 5.0, 12.0
WAIT_S = 120.0
"""For what is only waited for, on a busy machine too."""


def sharing(work: pathlib.Path, seconds: float) -> list[Row]:
    """The oldest record of four writers; a writer that joins, and one that is killed."""
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(broker_settings("kafka", work / "services"))
        return [*_oldest(work / "oldest", broker, seconds), *_moved(work / "moved", broker)]


def _running(
    stack: contextlib.ExitStack, folder: pathlib.Path, extra: str, writers: int
) -> tuple[Installation, list[Any]]:
    """Capture and some writers, each with a share of the partitions."""
    sender = stack.enter_context(Sender(RATE, 100_000, quotes=False))
    place = Installation(folder, sender, extra)
    stack.enter_context(place.run("ingest"))
    sender.wait_started()
    running = [stack.enter_context(place.run("write", name=f"write-{n}")) for n in range(writers)]
    wait_until(lambda: all(_commits(place, n) for n in range(writers)), WAIT_S)
    return place, running


def _commits(place: Installation, writer: int) -> list[dict[str, Any]]:
    """What a writer told of its commits."""
    lines = place.said(f"write-{writer}").read_text().splitlines()
    found = [json.loads(line) for line in lines if '"event":"committed"' in line]
    return [one for one in found if one["data_type"] == "trades"]


def _oldest(folder: pathlib.Path, broker: str, seconds: float) -> list[Row]:
    """With default settings: the age of the oldest record of each commit, which no uncommitted one ever exceeds."""
    with contextlib.ExitStack() as stack:
        place, _ = _running(stack, folder, broker, WRITERS)
        time.sleep(2 * INTERVAL_S)  # those that were read late because writers started
        before = [len(_commits(place, n)) for n in range(WRITERS)]
        time.sleep(seconds)
        commits = [one for n, known in enumerate(before) for one in _commits(place, n)[known:]]
    ages, took = [one["oldest_s"] for one in commits], [one["seconds"] for one in commits]
    notes = {"p50": p50_p99(ages)[0], "commit s, p50": p50_p99(took)[0], "longest": max(took), "commits": len(commits)}
    label = f"oldest uncommitted record, {WRITERS} writers, {RATE:,} a second"
    worst = max(ages)
    return [Row(label, worst, "s", must=f"≤ {2 * INTERVAL_S:g}", holds=worst <= 2 * INTERVAL_S, notes=notes)]


def _moved(folder: pathlib.Path, broker: str) -> list[Row]:
    """One writer more, and one killed."""
    often = f"\n[writer]\ncommit_interval_s = {OFTEN_S}\nmin_commit_interval_s = {OFTEN_S}\nfirst_commit_s = 0\n"
    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        place, running = _running(stack, folder, broker + often, WRITERS - 1)
        watch = stack.enter_context(Advances(place.folder / "data" / "warehouse"))
        wait_until(lambda: len(watch.owners()) == WRITERS - 1, WAIT_S)
        time.sleep(SETTLED_S)
        began, before = time.monotonic(), watch.by_partition()
        running.append(stack.enter_context(place.run("write", name=f"write-{WRITERS - 1}")))
        wait_until(lambda: len(watch.owners()) == WRITERS, WAIT_S)
        rows += _pauses("a writer joins", watch, began, before)
        began, before = time.monotonic(), watch.by_partition()
        running[0].send_signal(signal.SIGKILL)
        wait_until(lambda: len(watch.owners()) == WRITERS - 1, WAIT_S)
        rows += _pauses("a writer is killed", watch, began, before)
    return rows


def _pauses(what: str, watch: Advances, began: float, before: dict[int, str]) -> list[Row]:
    """Longest pauses from a moment on, of partitions that changed hands and of the others."""
    time.sleep(AFTER_S)
    now = watch.by_partition()
    moved = [n for n in now if now[n] != before.get(n)]
    pauses = {n: watch.longest_pause(n, began) for n in watch.busy()}
    theirs = [pause for n, pause in pauses.items() if n in moved]
    others = [pause for n, pause in pauses.items() if n not in moved]
    notes = {"partitions": len(moved), "usual": watch.usual_pause(began)}
    return [
        Row(f"{what}: its partitions rest", max(theirs), "s", must="≤ 5", holds=max(theirs) <= 5, notes=notes),
        Row(f"{what}: the others rest", max(others), "s", notes={"partitions": len(others)}),
    ]


class Advances(Beside):
    """Sees from outside when each partition's offset in the table moves on."""

    def __init__(self, warehouse: pathlib.Path) -> None:
        from k2_plugin_iceberg.settings import IcebergSettings
        from k2_plugin_iceberg.sink import IcebergSink

        from k2core.plugin import Context, Metrics, SystemClock
        from k2core.records.builtin import TRADES

        context = Context(clock=SystemClock(), logger=logging.getLogger("bench"), metrics=Metrics(), instance="lake")
        self._warehouse = warehouse
        self._sink = IcebergSink(IcebergSettings(warehouse=warehouse), context)
        self._table = self._sink.table(TRADES)
        self._seen: dict[int, list[float]] = defaultdict(list)
        super().__init__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._sink.close()

    def _look(self) -> None:
        last: dict[int, int] = {}
        while not self._ended.wait(LOOK_S):
            now, head = time.monotonic(), self._table.head()
            for (topic, partition), offset in head.offsets.items():
                if topic == TOPIC.name and offset != last.get(partition):
                    last[partition] = offset
                    self._seen[partition].append(now)

    def busy(self) -> list[int]:
        """Partitions that move on all the time; a rare symbol's do not."""
        return [n for n, times in list(self._seen.items()) if len(times) * 4 * OFTEN_S > times[-1] - times[0]]

    def longest_pause(self, partition: int, since: float) -> float:
        """Longest time between two advances of a partition, of which the later one was after a moment."""
        times = self._seen[partition]
        return max(b - max(a, since) for a, b in zip(times, [*times[1:], time.monotonic()], strict=True) if b > since)

    def usual_pause(self, until: float) -> float:
        """Longest pause of any busy partition within the last seconds before a moment."""
        times = {n: [t for t in self._seen[n] if until - SETTLED_S < t < until] for n in self.busy()}
        return max(b - a for each in times.values() for a, b in itertools.pairwise(each))

    def by_partition(self) -> dict[int, str]:
        """Token of each partition's owner."""
        from pyiceberg.catalog.sql import SqlCatalog

        catalog = SqlCatalog("k2", uri=f"sqlite:///{self._warehouse / 'catalog.db'}", warehouse=str(self._warehouse))
        try:
            told = json.loads(catalog.load_table("market.trades").properties.get(f"k2.owner.{TOPIC.name}", "{}"))
        finally:
            catalog.close()
        return {n: claim["by"] for claim in told.values() for n in claim["partitions"]}

    def owners(self) -> set[str]:
        """Writers that own any."""
        return set(self.by_partition().values())
