"""Several `k2 write` on one Kafka and one table: joins, leaves, deaths and freezes; every trade is stored once."""

from __future__ import annotations

import contextlib
import json
import logging
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from k2_plugin_iceberg.settings import IcebergSettings
from k2_plugin_iceberg.sink import IcebergSink

from k2core.clock import SystemClock
from k2core.component import Context
from k2core.records.builtin import TRADES
from k2core.records.topics import PARTITIONS
from k2core.telemetry.metrics import Metrics
from tests.e2e.capture import Capture, capture, tape, wait_until
from tests.e2e.command import run_k2
from tests.services.kafka import Kafka
from tests.services.registry import Registry
from tests.services.running import running

MOVED_S = 120.0
"""Partitions of a dead writer commit again within 5 s on a machine that is not busy with other tests."""
BROKER = """[broker]
use = "kafka"
bootstrap_servers = "{kafka}"
schema_registry_url = "{registry}"
replication_factor = 1
session_timeout_s = 1.5
"""


class Writers:
    """The writers of an installation, as the table tells of them."""

    def __init__(self, world: Capture) -> None:
        self.world, self.count = world, 0
        context = Context(clock=SystemClock(), logger=logging.getLogger("test"), metrics=Metrics(), instance="lake")
        self._sink = IcebergSink(IcebergSettings(warehouse=world.folder / "data" / "warehouse"), context)
        self._table: Any = None

    def start(self) -> subprocess.Popen[bytes]:
        """One more; each writer of a machine has a run folder of its own."""
        self.count += 1
        return self.world.start("write", K2_RUN__PATH=str(self.world.folder / f"run-{self.count}"))

    @property
    def table(self) -> Any:
        self._table = self._table or self._sink.table(TRADES)
        return self._table

    def owned(self) -> dict[int, set[int]]:
        """Partitions by the owner's process id."""
        found: dict[int, set[int]] = {}
        for name, text in self.table._state.read().metadata.properties.items():
            for claim in json.loads(text).values() if name.startswith("k2.owner.") else ():
                found.setdefault(int(claim["by"].rpartition(":")[2]), set()).update(claim["partitions"])
        return found

    def until_spread(self, *writers: subprocess.Popen[bytes]) -> None:
        """Until each of these has a share, and nobody else has any."""

        def spread() -> bool:
            owned = self.owned()
            mine = [owned.get(w.pid, set()) for w in writers]
            return all(mine) and len(set.union(*mine)) == PARTITIONS

        wait_until(f"{len(writers)} writers share", spread, alive=writers[0])

    def until_moved(self, partitions: set[int], moved: Callable[[], dict[int, int]]) -> float:
        """Seconds until the table got further on each of some partitions that have records all the time."""
        start, before = time.monotonic(), moved()
        busy = partitions & before.keys()
        wait_until("partitions move", lambda: all(moved()[p] > before[p] for p in busy), MOVED_S)
        return time.monotonic() - start

    def moved(self) -> dict[int, int]:
        return {number: offset for (_, number), offset in self.table.head().offsets.items()}

    def close(self) -> None:
        self._sink.close()


@pytest.fixture
def services(tmp_path: pathlib.Path) -> Iterator[tuple[Kafka, Registry]]:
    kafka, registry = Kafka(tmp_path / "kafka"), Registry(tmp_path / "registry")
    with running(kafka, registry):
        yield kafka, registry


def on_kafka(world: Capture, kafka: Kafka, registry: Registry) -> None:
    """Let an installation's log be in Kafka."""
    embedded = '[broker]\nuse = "embedded"\npath = "data/log.db"\n'
    text = world.settings.read_text()
    assert embedded in text
    ours = BROKER.format(kafka=kafka.bootstrap_servers, registry=registry.url)
    world.settings.write_text(text.replace(embedded, ours).replace("commit_interval_s = 2", "commit_interval_s = 0.5"))


class Told(NamedTuple):
    """Seconds until partitions committed again, and the writer that came last."""

    left: float
    died: float
    froze: float
    last: subprocess.Popen[bytes]


def come_and_go(writers: Writers, first: Any, second: Any, third: Any) -> Told:
    """One leaves, one is killed, one joins, is frozen, and wakes when its session is over."""
    theirs = writers.owned()[second.pid]
    second.send_signal(signal.SIGTERM)
    left = writers.until_moved(theirs, writers.moved)
    assert second.wait(120) == 0, writers.world.output("write")

    theirs = writers.owned()[third.pid]
    third.kill()
    died = writers.until_moved(theirs, writers.moved)

    fourth = writers.start()
    writers.until_spread(first, fourth)
    theirs = writers.owned()[fourth.pid]
    fourth.send_signal(signal.SIGSTOP)
    froze = writers.until_moved(theirs, writers.moved)
    writers.until_spread(first)
    fourth.send_signal(signal.SIGCONT)
    writers.until_spread(first, fourth)
    return Told(left, died, froze, fourth)


@pytest.mark.timeout(900)
def test_writers_come_and_go_on_kafka(tmp_path: pathlib.Path, services: tuple[Kafka, Registry]) -> None:
    with contextlib.ExitStack() as stack:
        world = stack.enter_context(capture(tmp_path, tape(recordings=None, trades=24_000, seconds=60)))
        on_kafka(world, *services)
        assert run_k2(world.settings, "topics", "apply").returncode == 0
        ingest = world.start("ingest")
        played = world.exchange.play()
        writers = Writers(world)
        stack.callback(writers.close)
        first = writers.start()
        writers.until_spread(first)
        second, third = writers.start(), writers.start()
        writers.until_spread(first, second, third)

        told = come_and_go(writers, first, second, third)
        played.result(180)
        ingest.send_signal(signal.SIGTERM)
        assert ingest.wait(120) == 0, world.output("ingest")
        once = run_k2(world.settings, "write", "--once")
        assert once.returncode == 0, once.stderr
        for one in (first, told.last):
            one.send_signal(signal.SIGTERM)
            assert one.wait(120) == 0, world.output("write")
        for name in ("trades", "quotes"):
            verdict = world.verdict(name)
            assert verdict.ok, f"{name}: {verdict}"
            assert verdict.issued > 100
        print(
            f"partitions commit again after: leave {told.left:.1f} s, kill -9 {told.died:.1f} s, freeze {told.froze:.1f} s"
        )
