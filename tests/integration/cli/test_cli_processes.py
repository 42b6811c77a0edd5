"""`k2 ingest`, `k2 write`, `k2 serve` as processes: they drain on SIGTERM, say how they are, and end at once if asked twice."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pytest

from k2core.avro.codec import Codec
from k2core.broker.specs import topic_spec
from k2core.config import load_config
from k2core.config.build import Assembly
from k2core.discovery import discover
from k2core.interfaces.broker import EncodedBatch
from k2core.records.builtin import QUOTES, TRADES
from k2core.records.topics import Topic, partition_of
from k2core.telemetry.status import Status, read_statuses

SETTINGS = """
[connectors.binance]
symbols = ["BTCUSDT"]
websocket_url = "ws://127.0.0.1:9"
rest_url = "http://127.0.0.1:9"
[api]
port = 0
"""
LIMIT_S = 180.0
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "k2.toml").write_text(SETTINGS)
    return tmp_path


@pytest.fixture
def start(folder: pathlib.Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("K2_")}
        command = [sys.executable, "-m", "k2core.cli.main", *arguments]
        started.append(
            subprocess.Popen(command, cwd=folder, env=clean, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def status_of(folder: pathlib.Path, name: str, process: subprocess.Popen[str], state: str) -> Status:
    """Wait until a process says that it is in a state."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        status = read_statuses(folder / "data" / "run").get(name)
        if status is not None and status.state == state:
            return status
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, status
        time.sleep(0.02)


@pytest.mark.parametrize("name", ["ingest", "write", "serve"])
def test_each_runs_alone_and_drains_on_sigterm(folder: pathlib.Path, start: Start, name: str) -> None:
    process = start(name)
    assert status_of(folder, name, process, "running").pid == process.pid
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    assert read_statuses(folder / "data" / "run")[name].state == "stopped"


def test_a_second_signal_ends_at_once(folder: pathlib.Path, start: Start) -> None:
    process = start("ingest")
    status_of(folder, "ingest", process, "running")
    process.send_signal(signal.SIGSTOP)  # so that both arrive while it can drain none
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    assert process.wait(LIMIT_S) == 130


def test_once_with_nothing_to_do_exits_0(start: Start) -> None:
    process = start("write", "--once")
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err


def append_one_of_each(folder: pathlib.Path) -> None:
    """Put one trade and one quote into the log, as an exchange's."""
    head = {"symbol": "BTCUSDT", "exchange": "binance", "exchange_timestamp_ms": int(time.time() * 1000)}
    rows = {
        TRADES: head | {"price": 1.5, "quantity": 2.0, "side": "buy", "trade_id": "7"},
        QUOTES: head | {"bid_price": 1.0, "bid_quantity": 1.0, "ask_price": 2.0, "ask_quantity": 1.0, "update_id": "9"},
    }
    with Assembly(load_config(folder / "k2.toml", env={}), discover()).broker() as log:
        producer = log.producer()
        for kind, row in rows.items():
            sizes, data = Codec(kind).encode(pa.RecordBatch.from_pylist([row], schema=kind.arrow_schema))
            places = np.array([partition_of("BTCUSDT")], np.int32)
            topic = Topic("crypto", kind.name, "binance")
            log.ensure_topics([topic_spec(topic, kind)])
            producer.produce([EncodedBatch(topic.name, kind.versions, places, sizes, data)])
        producer.close()


@pytest.mark.parametrize("name", ["ingest", "write"])
def test_a_log_that_is_busy_at_the_start_is_asked_again(folder: pathlib.Path, start: Start, name: str) -> None:
    (folder / "k2.toml").write_text(f"{SETTINGS}\n[broker]\nbusy_s = 0.2\n")
    append_one_of_each(folder)  # the topics of dead letters and levels are still to be made
    held = sqlite3.connect(folder / "data" / "log.db", isolation_level=None)
    held.execute("begin immediate")
    process = start(name)
    assert process.stderr is not None
    assert any("the log is busy, asking again" in line for line in process.stderr)
    held.execute("rollback")
    held.close()
    status_of(folder, name, process, "running")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err


def test_a_second_writer_fences_the_first_which_says_who(folder: pathlib.Path, start: Start) -> None:
    first = start("write")
    status_of(folder, "write", first, "running")
    second = start("write")
    deadline = time.monotonic() + LIMIT_S
    while not took_over(folder, second.pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    append_one_of_each(folder)
    _, err = first.communicate(timeout=LIMIT_S)
    assert first.returncode == 4, err
    assert f":{second.pid}" in err.splitlines()[-1]
    second.send_signal(signal.SIGTERM)
    assert second.wait(LIMIT_S) == 0
    asked = start("query", "trades", "--json", "--symbol", "BTCUSDT")
    out, err = asked.communicate(timeout=LIMIT_S)
    assert [row["trade_id"] for row in json.loads(out)["trades"]] == ["7"], err


def took_over(folder: pathlib.Path, pid: int) -> bool:
    """Whether a writer of that pid has published, which it does once its tables are taken over."""
    status = read_statuses(folder / "data" / "run")["write"]
    return status.pid == pid and status.state == "running"


def test_questions_of_an_empty_installation(start: Start) -> None:
    assert start("write", "--once").wait(LIMIT_S) == 0  # makes log and tables; who asks makes neither
    for arguments, wanted in ((("lag", "--json"), "records"), (("maintain", "--json", "--dry-run"), "counts")):
        process = start(*arguments)
        out, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, err
        assert {"market.trades", "market.quotes"} <= {row["table"] for row in json.loads(out)}
        assert all(wanted in row for row in json.loads(out))
    process = start("dlq", "--json")
    out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, json.loads(out)) == (0, [])
