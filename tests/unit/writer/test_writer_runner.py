"""The loop around pipelines: once, stop and drain, one that fails alone, one that is fenced, maintenance beside."""

from __future__ import annotations

import itertools
import logging
import threading
from typing import Any

import pytest

from k2core.clock import SystemClock
from k2core.config.settings import MaintenanceSettings, WriterSettings
from k2core.errors import BrokerAwayError, BrokerError, LogCorruptError, SinkError
from k2core.telemetry.metrics import Metrics
from k2core.testing import ManualClock
from k2core.testing.memory_sink import MemorySinkTable
from k2core.writer import Upkeep, run_writer
from tests.unit.writer.writer_world import TOPIC, WriterWorld

CLOCK = SystemClock()


class Raising:
    def __init__(self, name: str, error: Exception, times: int = 1 << 30) -> None:
        self.name, self.error, self.times = name, error, times

    def __call__(self, name: str) -> None:
        if name == self.name and self.times > 0:
            self.times -= 1
            raise self.error


def test_once_commits_what_was_there_and_ends() -> None:
    world = WriterWorld()
    world.trades("BTCUSDT", *range(50))
    world.trades("SOLUSDT", 1)
    result = run_writer([world.writer(clock=CLOCK)], threading.Event(), once=True, clock=CLOCK)
    assert (result.exit_code, result.remaining) == (0, {})
    world.check()
    assert dict(world.table.main.offsets) == world.log.ends([TOPIC])


def test_once_with_nothing_to_do() -> None:
    world = WriterWorld()
    assert run_writer([world.writer(clock=CLOCK)], threading.Event(), once=True, clock=CLOCK).exit_code == 0
    assert world.table.commits == 0


def test_once_that_gets_no_further_fails() -> None:
    world = WriterWorld(settings=WriterSettings(stalled_s=0.2))
    world.log.ends = lambda topics: {(TOPIC, 0): 5}  # type: ignore[method-assign]
    result = run_writer([world.writer(clock=CLOCK)], threading.Event(), once=True, clock=CLOCK)
    assert result.exit_code == 1
    assert isinstance(result.failed["trades"], BrokerError)


def start(*args: Any, **kwargs: Any) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(run_writer(*args, **kwargs)))
    thread.start()
    return thread, results


def test_stop_commits_up_to_the_logs_end() -> None:
    world = WriterWorld(settings=WriterSettings(first_commit_s=60, commit_interval_s=60))
    running, stop, states = threading.Event(), threading.Event(), []

    def tick(state: str) -> None:
        states.append(state)
        if state == "running":
            running.set()

    thread, results = start([world.writer(clock=CLOCK)], stop, clock=CLOCK, on_tick=tick)
    assert running.wait(120)
    world.trades("BTCUSDT", 1, 2, 3)
    stop.set()
    thread.join(120)
    assert results[0].exit_code == 0
    assert not results[0].remaining
    world.check()
    assert len(world.table.rows) == 3
    assert states[0] in ("starting", "running")


def test_what_does_not_fit_into_the_drain_is_named() -> None:
    world = WriterWorld()
    world.trades("BTCUSDT", 1, 2, 3)
    stop = threading.Event()
    stop.set()
    writer = world.writer(Raising("stage", SinkError("disk away")), clock=CLOCK)
    result = run_writer([writer], stop, clock=CLOCK, drain_s=0.3)
    assert result.exit_code == 0
    assert sum(result.remaining["trades"].values()) == 3


def test_one_that_fails_stops_alone() -> None:
    bad, good = WriterWorld(), WriterWorld()
    bad.trades("BTCUSDT", 1)
    good.trades("BTCUSDT", 1)
    bad.log.fault = Raising("poll", LogCorruptError("flipped bit"))
    pipelines = [bad.writer(clock=CLOCK), good.writer(clock=CLOCK)]
    result = run_writer(pipelines, threading.Event(), once=True, clock=CLOCK)
    assert result.exit_code == 1
    assert "flipped bit" in str(result.failed["trades"])
    assert len(good.table.rows) == 1


def test_what_may_pass_is_tried_again() -> None:
    world = WriterWorld(settings=WriterSettings(retry_first_s=0.001))
    world.trades("BTCUSDT", 1)
    fault = Raising("stage", SinkError("disk away"), times=3)
    result = run_writer([world.writer(fault, clock=CLOCK)], threading.Event(), once=True, clock=CLOCK)
    assert result.exit_code == 0
    assert len(world.table.rows) == 1
    assert world.metrics.value("k2_writer_retries_total", data_type="trades", reason="SinkError") == 3


def test_what_never_passes_ends_it() -> None:
    world = WriterWorld(settings=WriterSettings(retry_first_s=0.001, retry_longest_s=0.001, drain_tries=7))
    world.trades("BTCUSDT", 1)
    fault = Raising("head", SinkError("catalog away"))
    result = run_writer([world.writer(fault, clock=CLOCK)], threading.Event(), once=True, clock=CLOCK)
    assert result.exit_code == 1
    assert (1 << 30) - fault.times == 7
    assert "catalog away" in str(result.failed["trades"])


def test_a_sink_that_is_long_away_is_waited_for() -> None:
    settings = WriterSettings(retry_first_s=0.001, retry_longest_s=0.001, drain_tries=5)
    world, stop = WriterWorld(settings=settings), threading.Event()
    world.trades("BTCUSDT", 1)
    fault = Raising("head", SinkError("catalog away"), times=25)
    thread, results = start([world.writer(fault, clock=CLOCK)], stop, clock=CLOCK)
    while fault.times and thread.is_alive():
        stop.wait(0.01)
    stop.set()
    thread.join(120)
    assert results[0].exit_code == 0
    assert len(world.table.rows) == 1


def test_an_idle_pipeline_notices_that_somebody_took_over() -> None:
    world = WriterWorld(settings=WriterSettings(commit_interval_s=0.05))
    thread, results = start([world.writer(clock=CLOCK)], threading.Event(), clock=CLOCK)
    while not world.table.tokens:
        assert thread.is_alive()
    world.writer(clock=CLOCK).start()
    thread.join(120)
    assert (results[0].exit_code, results[0].fenced) == (4, ("trades",))


def test_an_error_of_a_plugin_ends_its_pipeline(caplog: pytest.LogCaptureFixture) -> None:
    world = WriterWorld()
    world.trades("BTCUSDT", 1)
    with caplog.at_level(logging.ERROR, "k2.write.test"):
        writer = world.writer(Raising("stage", ZeroDivisionError("oops")), clock=CLOCK)
        result = run_writer([writer], threading.Event(), once=True, clock=CLOCK)
    assert isinstance(result.failed["trades"], ZeroDivisionError)
    assert "pipeline broke data_type=trades" in caplog.text


def test_fenced_is_exit_code_four() -> None:
    world = WriterWorld(settings=WriterSettings(first_commit_s=0))
    running = threading.Event()
    thread, results = start(
        [world.writer(clock=CLOCK)], threading.Event(), clock=CLOCK, on_tick=lambda state: running.set()
    )
    assert running.wait(120)
    while not world.table.tokens:
        assert thread.is_alive()
    world.writer(clock=CLOCK).start()
    world.trades("BTCUSDT", 1)
    thread.join(120)
    assert (results[0].exit_code, results[0].fenced) == (4, ("trades",))


def test_maintenance_runs_beside_and_survives_failures() -> None:
    world, metrics = WriterWorld(), Metrics()
    twice = threading.Semaphore(0)

    def fault(name: str) -> None:
        twice.release()
        raise SinkError("catalog away")

    tables = {"trades": MemorySinkTable(world.table, fault)}
    upkeep = Upkeep(tables, MaintenanceSettings(interval_s=0.01), metrics, logging.getLogger("k2.write.test"))
    upkeep.start()
    assert all(twice.acquire(timeout=60) for _ in range(2))
    upkeep.stop()
    assert metrics.value("k2_maintenance_runs_total", outcome="failed") >= 1
    good = Upkeep(
        {"trades": MemorySinkTable(world.table)}, MaintenanceSettings(), metrics, logging.getLogger("k2.write")
    )
    good.run_once()
    assert metrics.value("k2_maintenance_runs_total", outcome="done") == 1


def test_pipelines_that_are_found_later_replace_and_join_the_others() -> None:
    world, other = WriterWorld(settings=WriterSettings(topics_s=0.01, first_commit_s=0)), WriterWorld()
    world.trades("BTCUSDT", 1)
    first, stop = world.writer(clock=CLOCK), threading.Event()
    later = [[world.writer(clock=CLOCK), other.writer(clock=CLOCK, name="another")]]
    thread, results = start([first], stop, clock=CLOCK, find=lambda: later.pop() if later else [])
    while not (world.table.takings == 2 and other.table.takings):
        assert thread.is_alive()
    world.trades("BTCUSDT", 2)
    other.trades("BTCUSDT", 7)
    stop.set()
    thread.join(120)
    assert results[0].exit_code == 0
    assert (len(world.table.rows), len(other.table.rows)) == (2, 1)
    world.check()


def test_a_pipeline_that_ended_is_not_brought_back() -> None:
    world, good = WriterWorld(settings=WriterSettings(topics_s=0.01, first_commit_s=0)), WriterWorld()
    world.trades("BTCUSDT", 1)
    broken = world.writer(Raising("stage", ZeroDivisionError("oops")), clock=CLOCK)
    asked, failed, stop = threading.Semaphore(0), threading.Event(), threading.Event()

    def find() -> list[Any]:
        asked.release()
        return [world.writer(clock=CLOCK)] if failed.is_set() else []

    def tick(state: str) -> None:
        if state == "failed":
            failed.set()

    both = [broken, good.writer(clock=CLOCK, name="good")]
    thread, results = start(both, stop, clock=CLOCK, find=find, on_tick=tick)
    assert failed.wait(10)
    while asked.acquire(blocking=False):
        pass
    for _ in range(3):
        assert asked.acquire(timeout=60)
    stop.set()
    thread.join(120)
    assert isinstance(results[0].failed["trades"], ZeroDivisionError)
    assert world.table.takings == 1


def test_a_log_that_does_not_answer_keeps_nobody_from_hearing_of_the_writer() -> None:
    """Each call waits five seconds for it; `k2 up` kills what says nothing for 15."""
    clock, ticks = ManualClock(), list[float]()

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            clock.advance(timeout or 0)
            if clock.monotonic() - ticks[0] > 300:
                self.set()
            return self.is_set()

    def silent(*_: object) -> Any:
        clock.advance(5)
        raise BrokerAwayError("no answer")

    worlds = [WriterWorld() for _ in range(4)]
    pipelines = [world.writer(clock=clock) for world in worlds]
    for pipeline, world in zip(pipelines, worlds, strict=True):
        pipeline.start()
        world.log.ends = silent  # type: ignore[method-assign]
        world.log.fault = lambda name: silent() if name == "poll" else None
    run_writer(pipelines, Stop(), clock=clock, drain_s=20, on_tick=lambda state: ticks.append(clock.monotonic()))
    assert len(ticks) > 50
    assert max(later - earlier for earlier, later in itertools.pairwise(ticks)) <= 6
