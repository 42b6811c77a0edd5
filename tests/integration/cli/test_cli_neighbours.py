"""Processes beside each other: a second ingest, a topic made later, a log that is not the tables' own, a fenced writer."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pytest

from k2core.avro.codec import Codec
from k2core.broker.specs import topic_spec
from k2core.cli.preflight import RunLock
from k2core.config import load_config
from k2core.config.build import Assembly
from k2core.discovery import discover
from k2core.interfaces.broker import EncodedBatch
from k2core.records.builtin import TRADES
from k2core.records.topics import Topic, partition_of
from k2core.telemetry.status import read_statuses

CONNECTOR = """
[connectors.binance]
symbols = ["BTCUSDT"]
websocket_url = "ws://127.0.0.1:9"
rest_url = "http://127.0.0.1:9"
"""
REST = """
[api]
port = 0
[writer]
topics_s = 0.1
"""
KRAKEN = Topic("crypto", "trades", "kraken")
BINANCE = Topic("crypto", "trades", "binance")
LIMIT_S = 180.0
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Iterator[Start]:
    (tmp_path / "k2.toml").write_text(CONNECTOR + REST)
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("K2_")}
        command = [sys.executable, "-m", "k2core.cli.main", *arguments]
        started.append(
            subprocess.Popen(
                command, cwd=tmp_path, env=clean, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def running(folder: pathlib.Path, process: subprocess.Popen[str], name: str) -> bool:
    status = read_statuses(folder / "data" / "run").get(name)
    return status is not None and (status.pid, status.state) == (process.pid, "running")


def append(folder: pathlib.Path, topic: Topic, *ids: int) -> None:
    rows = [
        {"symbol": "BTCUSDT", "exchange": topic.exchange, "exchange_timestamp_ms": int(time.time() * 1000), "price": 1.5,
         "quantity": 1.0, "trade_id": str(n)}
        for n in ids
    ]  # fmt: skip
    sizes, data = Codec(TRADES).encode(pa.RecordBatch.from_pylist(rows, TRADES.arrow_schema))
    with Assembly(load_config(folder / "k2.toml", env={}), discover()).broker() as log:
        log.ensure_topics([topic_spec(topic, TRADES)])
        place = np.full(len(ids), partition_of("BTCUSDT"), np.int32)
        log.producer().produce([EncodedBatch(topic.name, TRADES.versions, place, sizes, data)])


def stored(folder: pathlib.Path) -> int:
    status = read_statuses(folder / "data" / "run")["write"]
    return int(status.value("k2_writer_records_total", outcome="stored"))


def test_a_second_ingest_is_refused_and_the_first_goes_on(tmp_path: pathlib.Path, start: Start) -> None:
    first = start("ingest")
    until(lambda: running(tmp_path, first, "ingest"), first)
    second = start("ingest")
    out, err = second.communicate(timeout=LIMIT_S)
    assert (second.returncode, out, err.count("\n")) == (2, "", 1), err
    assert f"another `k2 ingest` (pid {first.pid}) captures already" in err
    assert running(tmp_path, first, "ingest"), "its status is its own"
    first.send_signal(signal.SIGTERM)
    assert first.wait(LIMIT_S) == 0


def test_up_is_refused_beside_an_ingest(tmp_path: pathlib.Path, start: Start) -> None:
    with RunLock(tmp_path / "data" / "run", "ingest"):
        up = start("up")
        out, err = up.communicate(timeout=LIMIT_S)
    assert (up.returncode, out) == (2, ""), err
    assert "captures already" in err


def test_a_writer_learns_topics_while_it_runs(tmp_path: pathlib.Path, start: Start) -> None:
    (tmp_path / "k2.toml").write_text(REST)  # no connector: nothing to write yet
    process = start("write")
    until(lambda: running(tmp_path, process, "write"), process)
    append(tmp_path, BINANCE, 1, 2)
    until(lambda: stored(tmp_path) == 2, process)
    append(tmp_path, KRAKEN, 1, 2, 3)
    until(lambda: stored(tmp_path) == 5, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    assert "nothing to write yet" in err
    assert err.count("new topics data_type=trades") == 2


def test_ingest_stops_beside_a_log_that_is_not_the_tables_own(tmp_path: pathlib.Path, start: Start) -> None:
    append(tmp_path, BINANCE, 1)
    kept = {path.name: path.read_bytes() for path in (tmp_path / "data").glob("log.db*")}
    append(tmp_path, BINANCE, 2, 3)
    once = start("write", "--once")
    assert once.wait(LIMIT_S) == 0, once.communicate()
    for path in (tmp_path / "data").glob("log.db*"):
        path.unlink()
    for name, content in kept.items():
        (tmp_path / "data" / name).write_bytes(content)
    append(tmp_path, BINANCE, 8, 9, 10)
    for command in (("ingest",), ("write", "--once"), ("serve",), ("query", "trades"), ("lag",)):
        process = start(*command)
        out, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 1, (command, err)
        assert "an older copy of the log was put back" in out + err, command


def test_a_new_sink_on_a_trimmed_log_says_the_way_on_and_takes_it(tmp_path: pathlib.Path, start: Start) -> None:
    (tmp_path / "k2.toml").write_text(
        CONNECTOR + REST + "[broker]\nretention_hours = 0.0000001\nslack_hours = 0\nsweep_s = 0\n"
    )
    append(tmp_path, BINANCE, 1, 2)
    append(tmp_path, BINANCE, 3)  # by now the first two are too old
    refused = start("write", "--once")
    _, err = refused.communicate(timeout=LIMIT_S)
    assert refused.returncode == 1
    assert "k2 write --once --begin-at-log-start" in err.splitlines()[-1]
    taken = start("write", "--once", "--begin-at-log-start")
    _, err = taken.communicate(timeout=LIMIT_S)
    assert taken.returncode == 0, err
    assert "first_offset=0 next_offset=2 records=2" in err
    status = read_statuses(tmp_path / "data" / "run")["write"]
    (gone,) = status.facts["gone"]["lake.market.trades"]
    assert (gone["first_offset"], gone["next_offset"]) == (0, 2)
    assert status.value("k2_writer_gone_records", data_type="trades") == 2
    asked = start("query", "trades", "--json")
    out, err = asked.communicate(timeout=LIMIT_S)
    assert '"complete": false' in out, out
    assert '"next_offset": 2' in out


def test_a_fence_is_told_once(tmp_path: pathlib.Path, start: Start) -> None:
    append(tmp_path, BINANCE, 1)
    first = start("write")
    until(lambda: running(tmp_path, first, "write"), first)
    second = start("write")
    _, err = first.communicate(timeout=LIMIT_S)
    assert first.returncode == 4
    assert err.count("took over") == 1, err
    assert f":{second.pid}" in err.splitlines()[-1]
