"""Dedup through Redis: ids a second and bytes an id of `k2-plugin-redis`, against one `SET NX` an id.

Both sides talk to one private Redis. Ours is claimed and settled in batches of 1,000 as a writer does; every batch
repeats a tenth of the one before, so that Redis is really asked. What counts is the CPU time of both processes together,
for one waits for the other; the wall time is a note.
"""

from __future__ import annotations

import logging
import pathlib
import time
from collections.abc import Callable

import numpy as np
from k2_plugin_redis.settings import RedisSettings
from k2_plugin_redis.store import RedisStore
from pydantic import SecretStr
from redis import Redis as Client

from benchmarks.measure import Row
from k2core.clock import SystemClock
from k2core.component import Context
from k2core.interfaces.frames import IdKind
from k2core.interfaces.identities import IdentityBatch
from k2core.telemetry.metrics import Metrics
from k2core.testing.conformance.dedup_world import PLACE, KnownTable, identities
from tests.services.redis import Redis

BATCH, AGAIN, NAIVE = 1000, 100, 20_000
SETTLED = 64_000
"""Ids from which on the memory an id takes is told: before, what Redis needs in any case weighs too much."""
MUST: dict[IdKind, tuple[float, float]] = {"contiguous": (300, 1), "increasing": (60, 70), "opaque": (60, 70)}
"""Least thousand ids a second, most bytes an id."""


def dedup(work: pathlib.Path, ids: int) -> list[Row]:
    """Contiguous, increasing and opaque ids."""
    found = []
    with Redis(work / "redis") as server, Client.from_url(server.url) as client:
        naive, naive_wall, naive_bytes = _measured(client, lambda: _naive(client), NAIVE)
        for kind, (speed, size) in MUST.items():
            batches = _batches(kind, ids)
            runs = [_measured(client, lambda b=batches: _ours(server.url, b), ids) for _ in range(3)]  # type: ignore[misc]
            ours, wall, held = (
                max(run[0] for run in runs),
                max(run[1] for run in runs),
                _most_held(client, server.url, batches),
            )
            label, notes = f"dedup through Redis, {kind} ids", {"wall": wall, "SET NX wall": naive_wall}
            found.append(Row(label, ours, "k ids/CPU s", naive, ours / naive, f"≥ {speed:g}", ours >= speed, notes))
            end = {"at the end": runs[-1][2]}
            memory = f"{label}: memory, largest of all the time"
            found.append(Row(memory, held, "bytes/id", naive_bytes, None, f"≤ {size:g}", held <= size, end))
    return found


def _measured(client: Client, act: Callable[[], None], ids: int) -> tuple[float, float, float]:
    """Thousand ids a second of CPU, of wall time, and bytes an id in Redis."""
    client.flushall()
    held, cpu, wall = client.info("memory")["used_memory"], _cpu(client), time.perf_counter()
    act()
    wall, cpu = time.perf_counter() - wall, _cpu(client) - cpu
    return ids / cpu / 1e3, ids / wall / 1e3, (client.info("memory")["used_memory"] - held) / ids


def _cpu(client: Client) -> float:
    """CPU seconds of the server and of this process so far."""
    server = client.info("cpu")
    return float(server["used_cpu_user"] + server["used_cpu_sys"]) + time.process_time()


def _naive(client: Client) -> None:
    for i in range(NAIVE):
        client.set(f"dedup:binance:BTCUSDT:{i}", 1, nx=True, ex=86_400)


def _most_held(client: Client, url: str, batches: list[IdentityBatch]) -> float:
    """Bytes an id at the worst moment while ids come in: tables of sets grow in leaps."""
    client.flushall()
    before, most = client.info("memory")["used_memory"], [0.0]

    def look(ids: int) -> None:
        if ids >= SETTLED:
            most.append((client.info("memory")["used_memory"] - before) / ids)

    _ours(url, batches, look)
    return max(most)


def _ours(url: str, batches: list[IdentityBatch], look: Callable[[int], None] = lambda ids: None) -> None:
    context = Context(clock=SystemClock(), logger=logging.getLogger("k2.bench"), metrics=Metrics())
    with RedisStore(RedisSettings(url=SecretStr(url), timeout_ms=5000), context) as store:
        store.assign(PLACE, 0, KnownTable())
        fresh = 0
        for batch in batches:
            fresh += int(store.claim(batch).sum())
            first = int(batch.offsets[0])
            store.settle(PLACE, first, first + len(batch))
            look(fresh)
        assert fresh == len(batches) * BATCH + AGAIN
        assert not context.metrics.value("k2_dedup_degraded")


def _batches(kind: IdKind, ids: int) -> list[IdentityBatch]:
    """1,000 ids each, and 100 of the batch before once more."""
    step = 1 if kind == "contiguous" else 7
    now = SystemClock().now_us()
    made = []
    for k in range(ids // BATCH):
        numbers = np.arange(k * BATCH - AGAIN, (k + 1) * BATCH) * step + 10_000_000
        values = [f"{n:x}-b7e5-4f0a" for n in numbers.tolist()] if kind == "opaque" else numbers.tolist()
        made.append(identities(values, k * (BATCH + AGAIN), kind=kind, at_us=now))
    return made
