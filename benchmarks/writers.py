"""Several writers on one table: commits together against each for itself, and four writers' rows from Kafka against one's.

Every writer is a process of its own. `python -m benchmarks.writers commit|drain …` is one of them.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import logging
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

from benchmarks import tape
from benchmarks.measure import Row
from benchmarks.real import broker_settings
from benchmarks.rig import TOPIC, Rig
from k2core.interfaces.broker import Partition
from k2core.interfaces.sharing import Membership

PARTITIONS = 16
COMMITS = (262_144, 50_000, 5_000)
"""Rows of a commit while catching up: the first is `writer.commit_rows` by default."""
ROWS = 160
"""Rows of a commit, where its cost is that of its files."""


def many_writers(work: pathlib.Path, seconds: float, rows: int) -> list[Row]:
    """Commits at 1, 4 and 8 writers, and what four catch up in the time of one."""
    found = [row for count in (1, 4, 8) for row in _commits(work / f"commits{count}", count, seconds)]
    with broker_settings("kafka", work / "services") as broker:
        rig = Rig(work / "source", broker)
        for group in tape.cut(tape.frames(rows), 1000):
            rig.capture(group)
        rig.close()
        return [*found, *(_rows(work / f"rows{size}", broker, rows, size) for size in COMMITS)]


def _commits(work: pathlib.Path, count: int, seconds: float) -> list[Row]:
    taken = {}
    for together in (False, True):
        place = work / str(together)
        place.mkdir(parents=True)
        told = _run(
            [["commit", str(place), str(n), str(count), str(seconds), str(int(together))] for n in range(count)]
        )
        taken[together] = sorted(1e3 * one for each in told for one in each)
    rows = []
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        ours, bare = (each[min(len(each) - 1, int(share * len(each)))] for each in (taken[True], taken[False]))
        notes = {"commits/s": len(taken[True]) / seconds, "each for itself/s": len(taken[False]) / seconds}
        must, holds = ("", None) if count == 1 or name == "p50" else ("≤ 0.5", ours / bare <= 0.5)
        rows.append(Row(f"commits of {count} writers, {name}", ours, "ms", bare, ours / bare, must, holds, notes))
    return rows


def _rows(work: pathlib.Path, broker: str, rows: int, size: int) -> Row:
    """Thousand rows a second of wall time, log → table, each commits `size` at a time; busy partitions are shared out first."""
    rates: dict[int, list[float]] = {1: [], 4: []}
    spent: dict[int, list[float]] = {1: [], 4: []}
    for turn in range(2):
        for count in rates:
            place = work / f"rows{turn}-{count}"
            place.mkdir(parents=True)
            (place / "broker.toml").write_text(broker)
            orders = [["drain", str(place), str(n), str(count), str(size)] for n in range(count)]
            told = _run(orders)
            stored = sum(each[0] for each in told)
            if stored != rows:
                raise RuntimeError(f"{stored} of {rows} rows were stored")
            rates[count].append(rows / max(each[1] for each in told) / 1e3)
            spent[count].append(1e6 * sum(each[2] for each in told) / rows)
    four, one = max(rates[4]), max(rates[1])
    notes = {"CPU µs a row, 4": min(spent[4]), "1": min(spent[1])}
    must, holds = ("≥ 0.9", four / one >= 0.9) if size == COMMITS[0] else ("", None)
    return Row(f"rows of 4 writers against 1, {size:,} a commit", four, "k rows/s", one, four / one, must, holds, notes)


def _run(orders: list[list[str]]) -> list[list[float]]:
    """Start processes, let them begin at once, and hear what they measured."""
    command = [sys.executable, "-m", "benchmarks.writers"]
    running = [
        subprocess.Popen([*command, *order], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for order in orders
    ]
    try:
        for one in running:
            if (one.stdout.readline() if one.stdout else "") != "ready\n":
                raise RuntimeError("a writer did not start")
        for one in running:
            if one.stdin:
                one.stdin.write("go\n")
                one.stdin.flush()
        return [json.loads(one.stdout.readline() if one.stdout else "[]") for one in running]
    finally:
        for one in running:
            one.kill()
            one.communicate()


def _wait() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def commit(place: pathlib.Path, me: int, count: int, seconds: float, together: bool) -> list[float]:
    """Commit without pause; seconds of each."""
    from k2_plugin_iceberg.settings import IcebergSettings
    from k2_plugin_iceberg.sink import IcebergSink

    from k2core.plugin import Context, Metrics, SystemClock
    from k2core.records.builtin import TRADES
    from k2core.testing.conformance.sink_world import as_table

    context = Context(clock=SystemClock(), logger=logging.getLogger("bench"), metrics=Metrics(), instance="lake")
    sink = IcebergSink(IcebergSettings(warehouse=place, commit_together=together), context)
    table, taken = sink.table(TRADES), []
    at: dict[Partition, int] = {(TOPIC.name, n): 0 for n in range(PARTITIONS) if n % count == me}
    owned = table.take_over(frozenset(at), {TOPIC.name: "id"}, f"writer {me}")
    _wait()
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        to = {p: o + ROWS // len(at) for p, o in at.items()}
        staged = table.stage(as_table(_trade(p, o) for p in at for o in range(at[p], to[p])))
        began = time.perf_counter()
        table.commit(staged, owned, at, to)
        taken.append(time.perf_counter() - began)
        at = to
    sink.close()
    return taken


def _trade(place: Partition, offset: int) -> dict[str, Any]:
    ms = tape.START_MS + offset
    return {
        "symbol": _symbol(place[1]), "exchange": "binance", "exchange_timestamp_ms": ms, "price": 1.5, "quantity": 2.0,
        "side": "buy", "trade_id": str(offset), "sequence_num": offset, "received_timestamp_us": ms * 1000,
        "source": "live", "exchange_date": dt.date(2024, 8, 8), "id_epoch": 0, "topic": place[0],
        "log_partition": place[1], "log_offset": offset, "log_timestamp": ms * 1000,
    }  # fmt: skip


@functools.cache
def _symbol(number: int) -> str:
    from k2core.records.topics import partition_of

    return next(name for name in (f"S{n}" for n in range(10_000)) if partition_of(name) == number)


def drain(place: pathlib.Path, me: int, count: int, size: int) -> list[float]:
    """Write a share of a log; rows, seconds, CPU seconds."""
    _warm(place / f"warm{me}")
    rig = Rig(place, (place / "broker.toml").read_text())
    log: Any = rig.log
    ends = log.ends([TOPIC.name])
    busiest = sorted(ends, key=lambda place: -ends[place])
    turns = [*range(count), *reversed(range(count))]
    mine = frozenset(place for at, place in enumerate(busiest) if turns[at % len(turns)] == me)
    log.join = lambda name, topics, leaving=None: Fixed(mine)
    wanted = sum(ends[place] for place in mine)
    pipeline = rig.pipeline(size)
    done = 0
    _wait()
    start, cpu = time.perf_counter(), time.process_time()
    while done < wanted:
        while pipeline.waiting < size and pipeline.waiting + done < wanted:
            pipeline.step(0.1)
        done += pipeline.waiting
        pipeline.commit()
    return [done, time.perf_counter() - start, time.process_time() - cpu]


def _warm(place: pathlib.Path) -> None:
    """Write a small log of one's own: what a process loads at first use is no cost of writing together."""
    rig = Rig(place)
    for group in tape.cut(tape.frames(4000), 1000):
        rig.capture(group)
    rig.drain(rig.pipeline(1000), 4000, 1000)
    rig.close()


class Fixed(Membership):
    """Always the same share."""

    def __init__(self, share: frozenset[Partition]) -> None:
        self._share = share

    def partitions(self) -> frozenset[Partition]:
        return self._share


def main() -> None:
    kind, place, *given = sys.argv[1:]
    folder = pathlib.Path(place)
    if kind == "commit":
        me, count, seconds, together = int(given[0]), int(given[1]), float(given[2]), given[3] == "1"
        print(json.dumps(commit(folder, me, count, seconds, together)))
    else:
        print(json.dumps(drain(folder, *map(int, given))))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
