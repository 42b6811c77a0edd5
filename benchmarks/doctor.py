"""How long `k2 doctor` takes: over a Kafka, a registry and a Redis that are well, and where the broker is frozen."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

from benchmarks.installed import environment
from benchmarks.measure import Row
from benchmarks.real import settings
from tests.services.kafka import Kafka
from tests.services.redis import Redis
from tests.services.registry import Registry

TIMES = 3
MOST_S = 3.0
CONNECTOR = '[connectors.binance]\nsymbols = ["BTCUSDT"]\n'


def doctor(work: pathlib.Path) -> list[Row]:
    """The best of some, and how many lines say WRONG."""
    with Registry(work / "registry") as registry, Redis(work / "redis") as redis, Kafka(work / "kafka") as broker:
        store = f'\n[dedup]\nuse = "redis"\nurl = "{redis.url}"\n'
        (work / "k2.toml").write_text(CONNECTOR + settings(broker, registry) + store)
        _run(work, "topics", "apply")
        well = _row(work, "k2 doctor, all services well", 0)
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            frozen = _row(work, "k2 doctor, Kafka frozen", 1)
        finally:
            os.kill(broker.pid, signal.SIGCONT)
    return [well, frozen]


def _row(work: pathlib.Path, path: str, wrong: int) -> Row:
    taken, said = [], ""
    for _ in range(TIMES):
        began = time.perf_counter()
        said = _run(work, "doctor")
        taken.append(time.perf_counter() - began)
    found = sum(line.startswith("WRONG") for line in said.splitlines())
    must, holds = f"< {MOST_S:g}, {wrong} WRONG", min(taken) < MOST_S and found == wrong
    return Row(path, min(taken), "s", must=must, holds=holds, notes={"slowest": max(taken), "WRONG": found})


def _run(work: pathlib.Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "k2core.cli.main", *arguments]
    return subprocess.run(command, cwd=work, env=environment(), text=True, capture_output=True, check=False).stdout
