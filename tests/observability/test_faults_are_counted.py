"""Faults that no other test of a metric brings about: what is counted, and what the log says of it."""

from __future__ import annotations

import logging
import pathlib
import threading
from dataclasses import replace

import pyarrow as pa
import pytest
from k2_plugin_redis.settings import RedisSettings
from k2_plugin_redis.store import RedisStore

from k2core.api.loop import TailLoop
from k2core.api.watched import Watched
from k2core.cli import degrading
from k2core.cli.processes import Process, StopSignals
from k2core.cli.session import Session
from k2core.clock import SystemClock
from k2core.component import Context
from k2core.config.settings import MaintenanceSettings
from k2core.degradation.controller import Controller
from k2core.errors import BrokerError, QueryError
from k2core.interfaces.frames import ChannelFacts
from k2core.interfaces.shed import Shed
from k2core.interfaces.sink import MaintenanceReport
from k2core.query.answer import Answer, Missing
from k2core.query.tail import Tail
from k2core.records.builtin import TRADES
from k2core.telemetry.metrics import Metrics
from k2core.telemetry.status import StatusFile
from k2core.testing import ManualClock
from k2core.testing.conformance.dedup_world import PLACE, KnownTable
from k2core.testing.memory_sink import MemorySinkTable
from k2core.writer.tell import tell_shed
from k2core.writer.upkeep import Upkeep
from tests.e2e.capture import wait_until
from tests.services.process import free_port
from tests.unit.writer.writer_world import WriterWorld, trade

EXPLAIN = {"tail_rows": 2, "cold_rows": 3, "cold": {"files": 9, "files_pruned": 7}}


def watched(metrics: Metrics) -> Watched:
    return Watched("trades", "abc123", "symbol=BTCUSDT", metrics, slow_s=1)


def test_a_slow_query_and_an_incomplete_answer(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    one = watched(metrics)
    rows = pa.table({"price": [1.0] * 5})
    gap = Missing("market.crypto.trades.toy", 0, 3, 7, "gone")
    one.answer = Answer(
        rows=rows, pin={("market.crypto.trades.toy", 4): 17}, snapshot_id=99, missing=[gap], explain=EXPLAIN
    )
    one.ended(1234)
    with caplog.at_level(logging.INFO, "k2.query"):
        one.tell(1.5)
        one.tell(0.5)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert caplog.messages[0] == (
        "query route=trades request=abc123 outcome=ok why=- ms=1500.0 rows=5 hot=2 cold=3 files=2 pruned=7 bytes=1234"
        " complete=False snapshot=99 pin=market.crypto.trades.toy:4@17 asked=symbol=BTCUSDT"
    )
    assert metrics.value("k2_serve_slow_queries_total", route="trades") == 1
    assert metrics.value("k2_serve_incomplete_answers_total", route="trades") == 2
    assert metrics.value("k2_serve_answer_rows_total", route="trades", half="cold") == 6
    assert metrics.value("k2_serve_files_read_total", route="trades", outcome="pruned") == 14


@pytest.mark.parametrize(
    ("kind", "status", "outcome"),
    [
        ("timeout", 503, "timeout"),
        ("overloaded", 503, "overloaded"),
        ("bad-input", 422, "refused"),
        ("behind", 503, "failed"),
    ],
)
def test_a_query_that_is_not_answered_says_why(
    kind: str, status: int, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    one = watched(metrics)
    one.refused(QueryError("no", kind=kind, status=status))
    with caplog.at_level(logging.INFO, "k2.query"):
        one.tell(0.1)
    assert f"outcome={outcome} why={kind}" in caplog.text
    assert metrics.value("k2_serve_queries_total", route="trades", outcome=outcome) == 1


def test_a_record_that_cannot_be_stored_and_an_old_id() -> None:
    world = WriterWorld(ChannelFacts(ids="increasing"), window_s=60)
    writer = world.writer()
    world.trades("BTCUSDT", 5)
    world.finish(writer)
    world.clock.us += 7_200_000_000
    world.append(trade("BTCUSDT", "9", world.clock.us // 1000, price=-1.0))
    world.trades("BTCUSDT", 10)
    world.finish(writer)
    world.trades("BTCUSDT", 5)
    world.finish(writer)
    world.check()
    assert world.metrics.value("k2_writer_dead_letters_total", data_type="trades", reason="bad-number") == 1
    assert world.metrics.value("k2_dedup_table_lookups_total", data_type="trades") >= 1
    assert world.metrics.value("k2_dedup_claims_total", outcome="copy") == 1


def test_a_shared_store_that_is_away() -> None:
    metrics = Metrics()
    context = Context(clock=ManualClock(), logger=logging.getLogger("k2.dedup-store.test"), metrics=metrics)
    store = RedisStore(RedisSettings(url=f"redis://127.0.0.1:{free_port()}/0"), context)  # type: ignore[arg-type]
    store.assign(PLACE, 0, KnownTable())
    assert metrics.value("k2_dedup_degraded") == 1
    assert metrics.value("k2_dedup_degradations_total", reason="away") == 1
    store.close()


class Kept(MemorySinkTable):
    """A table whose maintenance has something to do."""

    def maintain(self, *, dry_run: bool = False) -> MaintenanceReport:
        return MaintenanceReport(dry_run=dry_run, counts={"files_compacted": 7, "bytes_saved": -3})


def test_what_maintenance_did() -> None:
    world = WriterWorld()
    upkeep = Upkeep({"trades": Kept(world.table)}, MaintenanceSettings(), world.metrics, logging.getLogger("k2.write"))
    upkeep.run_once()
    assert world.metrics.value("k2_maintenance_changes_total", data_type="trades", change="files_compacted") == 7
    assert world.metrics.value("k2_maintenance_changes_total", change="bytes_saved") == 0, "a counter never falls"


def test_what_is_shed() -> None:
    world = WriterWorld()
    parts = world.writer().parts
    shed = Shed("market.crypto.trades.binance", 0, 3, 9, (("BTCUSDT", 6),), "GRACEFUL", "", 1, 2)
    tell_shed(parts, [shed, replace(shed, state="restored")])
    assert world.metrics.value("k2_writer_shed_records", data_type="trades") == 6


def test_a_writer_that_degrades(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(degrading, "LOOK_S", 0.05)
    monkeypatch.chdir(tmp_path)
    session = Session()
    status, logger = StatusFile(tmp_path, "write", session.clock, Metrics()), logging.getLogger("k2.write.test")
    process = Process(name="write", session=session, status=status, signals=StopSignals(), logger=logger)
    metrics = session.assembly.metrics
    with (
        session.assembly.broker() as log,
        degrading.watched_levels(process),
        caplog.at_level(logging.WARNING, logger.name),
    ):
        by = degrading.Degrading(process, log, "host:1")
        controller = Controller(session.config.degradation)
        change = controller.observe(session.clock.monotonic(), 0, 0.9)
        by.of(TRADES).tell(controller, change)
        wait_until("everybody knows", lambda: metrics.value("k2_degradation_level") == 3)
        by.close()
    assert metrics.value("k2_writer_degradation_level", data_type="trades") == 3
    assert metrics.value("k2_writer_degradation_changes_total", data_type="trades", level="AGGRESSIVE") == 1
    assert "degradation data_type=trades level=AGGRESSIVE previous=NORMAL" in caplog.text


class Stuck(Tail):
    """A tail whose log cannot be read."""

    def advance(self, timeout: float) -> int:
        raise BrokerError("the log is away")


def test_a_tail_that_cannot_read(tail_parts: dict[str, object]) -> None:
    metrics, failed = Metrics(), threading.Event()
    tail = Stuck(**tail_parts, metrics=metrics)  # type: ignore[arg-type]
    loop = TailLoop(tail, SystemClock(), failed)
    loop.start()
    stop = threading.Event()
    for _ in range(500):
        if metrics.value("k2_serve_tail_stalls_total", data_type="trades"):
            break
        stop.wait(0.01)
    assert loop.stop(5)
    assert metrics.value("k2_serve_tail_stalls_total", data_type="trades") >= 1
    assert not failed.is_set()


@pytest.fixture
def tail_parts() -> dict[str, object]:
    from k2core.admission import Admission
    from k2core.config.settings import QuerySettings
    from k2core.testing import MemoryLog
    from k2core.testing.memory_table import MemoryTable

    clock = SystemClock()
    return {
        "data_type": TRADES, "admission": Admission(TRADES, {}), "broker": MemoryLog(clock),
        "source": MemoryTable(TRADES), "topics": [], "settings": QuerySettings(), "clock": clock,
    }  # fmt: skip
