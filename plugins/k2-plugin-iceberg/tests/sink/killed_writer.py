"""Forks writers that commit without pause, and kills each with SIGKILL at a random moment; prints how many."""

from __future__ import annotations

import json
import logging
import os
import random
import select
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from k2_plugin_iceberg.settings import IcebergSettings
from k2_plugin_iceberg.sink import IcebergSink
from k2_plugin_iceberg.table import IcebergTable  # noqa: F401 - loaded once, before the forks

from k2core.plugin import Context, Metrics, SystemClock, partition_of
from k2core.records.builtin import TRADES

TOPIC = "market.crypto.trades.binance"
SYMBOLS = {partition_of(f"SYM{i}"): f"SYM{i}" for i in range(300)}
PARTS = frozenset((TOPIC, p) for p in range(16))


def rows(start: dict[tuple[str, int], int], count: int) -> pa.Table:
    """`count` rows for every partition, from its offset on."""
    part = np.repeat(np.arange(16), count)
    offset = np.concatenate([np.arange(count) + start.get((TOPIC, p), 0) for p in range(16)])
    n = len(part)
    ms = 1_795_000_000_000 + offset
    plain = {
        "symbol": pa.array([SYMBOLS[int(p)] for p in part]).dictionary_encode(),
        "exchange": pa.array(["binance"] * n).dictionary_encode(),
        "topic": pa.array([TOPIC] * n).dictionary_encode(),
        "exchange_date": pa.array((ms // 86_400_000).astype(np.int32)).cast(pa.date32()),
        "log_partition": part.astype(np.int32),
        "log_offset": offset,
    }
    for field in TRADES.table_schema:
        if field.name not in plain:
            nothing = pa.nulls(n, field.type)
            numbers = {pa.int64(): ms, pa.float64(): ms.astype(float)}
            plain[field.name] = nothing if field.nullable else numbers[field.type]
    return pa.table({f.name: plain[f.name] for f in TRADES.table_schema}, schema=TRADES.table_schema)


def write(root: Path, tell: int) -> None:
    """Take over and commit until killed, maintain now and then; tell of every commit through a pipe."""
    context = Context(clock=SystemClock(), logger=logging.getLogger("killed"), metrics=Metrics(), instance="lake")
    settings = IcebergSettings(
        warehouse=root, manifest_merge_min=3, snapshots_to_keep=5, slice_settle_s=0, metadata_versions=2
    )
    table = IcebergSink(settings, context).table(TRADES)
    owned = table.take_over(PARTS, {TOPIC: "id-1"}, f"pid {os.getpid()}")
    at = dict(table.head().offsets)
    while True:
        count = random.randint(1, 20)
        batch = rows(at, count)
        new = {p: at.get(p, 0) + count for p in PARTS}
        table.commit(table.stage(batch), owned, at, new)
        at = new
        os.write(tell, b".")
        if random.random() < 0.2:
            table.maintain()


def main(root: Path, kills: int) -> None:
    """Kill `kills` writers, one after another: most at work, every fifth while it starts or takes over."""
    for number in range(kills):
        hear, tell = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                write(root, tell)
            finally:
                os._exit(3)
        if number % 5 != 4:
            select.select([hear], [], [], 20)  # the first commit has landed
        time.sleep(random.uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        os.close(hear)
        os.close(tell)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            raise SystemExit(f"a writer ended by itself: {status}")
    sys.stdout.write(json.dumps({"kills": kills}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
