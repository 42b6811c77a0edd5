"""The small port: it answers while the process is busy, and no peer and no failing page harms it."""

from __future__ import annotations

import contextlib
import json
import logging
import pathlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from k2core.telemetry import endpoint as module
from k2core.telemetry.endpoint import Endpoint, Page
from k2core.telemetry.health import Health
from k2core.telemetry.metrics import Metrics
from k2core.telemetry.own import Own
from k2core.telemetry.status import Status
from k2core.telemetry.targets import TargetFile
from k2core.testing import ManualClock
from tests.observability.scraped import fetch


def broken() -> Page:
    raise RuntimeError("no page today")


@pytest.fixture
def running() -> Iterator[str]:
    metrics, clock = Metrics(), ManualClock()
    metrics.begin("write", {"data_type": ["trades"]})
    metrics.collect(Own(metrics, "write", "1", 0.0, {}).refresh)
    said = Status("write", 1, clock.now_ms(), "running")
    pages = Health(lambda: said, clock, 15).pages(metrics)
    one = Endpoint("127.0.0.1", 0, {**pages, "/broken": broken})
    one.start()
    yield f"http://{one.address}"
    one.close()


def test_it_answers_within_a_second_while_the_process_is_busy(running: str) -> None:
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            sum(range(1000))

    busy = [threading.Thread(target=spin, daemon=True) for _ in range(4)]
    for thread in busy:
        thread.start()
    try:
        took = []
        for _ in range(10):
            began = time.monotonic()
            assert fetch(f"{running}/metrics")[0] == 200
            took.append(time.monotonic() - began)
    finally:
        stop.set()
        for thread in busy:
            thread.join(120)
    assert min(took) < 1, "the best of them: a busy machine must not fail this"


def test_pages_and_refusals(running: str, caplog: pytest.LogCaptureFixture) -> None:
    assert fetch(f"{running}/livez") == (200, "ok\n")
    assert fetch(f"{running}/metrics?name=x")[0] == 200
    status, body = fetch(f"{running}/elsewhere")
    assert (status, "/metrics" in body) == (404, True)
    with caplog.at_level(logging.ERROR, "k2.metrics"):
        assert fetch(f"{running}/broken")[0] == 500
    assert "page failed path=/broken" in caplog.text


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"HEAD /livez HTTP/1.1\r\n\r\n", b"200"),
        (b"\x00\xff\r\n\r\n", b"405"),
    ],
)
def test_whatever_is_sent_is_answered(running: str, sent: bytes, answer: bytes) -> None:
    host, _, port = running.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 5) as one:
        one.sendall(sent)
        assert answer in one.recv(4096).split(b"\r\n")[0]


def test_silent_and_endless_peers_are_dropped(running: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.2)
    host, _, port = running.removeprefix("http://").partition(":")
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection((host, int(port)), 5)) for _ in range(40)]
        assert fetch(f"{running}/livez")[0] in (200, 503)
        endless = stack.enter_context(socket.create_connection((host, int(port)), 5))
        with contextlib.suppress(OSError):
            endless.sendall(b"x" * 100_000)
        for one in silent:
            with contextlib.suppress(ConnectionError):
                assert one.recv(200) == b"" or True
    assert fetch(f"{running}/livez") == (200, "ok\n")


def test_a_port_that_is_taken_is_told_and_another_one_used(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with caplog.at_level(logging.WARNING, "k2.metrics"):
            one = Endpoint("127.0.0.1", port, {"/livez": lambda: Page(200, "text/plain", b"ok\n")})
        one.start()
        assert fetch(f"http://{one.address}/livez") == (200, "ok\n")
        assert not one.address.endswith(f":{port}")
        one.close()
    assert f"port of metrics is taken, a free one is used port={port}" in caplog.text


def test_health_follows_the_status() -> None:
    clock, metrics = ManualClock(), Metrics()
    said: list[Status | None] = [None]
    health = Health(lambda: said[-1], clock, 15)
    pages = health.pages(metrics)
    assert (pages["/livez"]().status, pages["/readyz"]().status) == (200, 503)
    said.append(Status("write", 7, clock.now_ms(), "running"))
    assert (pages["/livez"]().status, pages["/readyz"]().status) == (200, 200)
    clock.advance(16)
    assert pages["/livez"]() == Page(503, "text/plain; charset=utf-8", b"its main loop has said nothing for 16 s\n")
    said.append(Status("write", 7, clock.now_ms(), "failed", "disk away"))
    assert pages["/readyz"]().body == b"failed disk away\n"
    assert json.loads(pages["/health"]().body)["reasons"] == ["failed disk away"]
    health.refresh(metrics)
    assert metrics.value("k2_process_ready") == 0
    assert metrics.value("k2_process_heartbeat_timestamp_seconds") == clock.now_ms() / 1000


def test_target_files_name_each_process_once(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "run" / "targets"
    folder.mkdir(parents=True)
    (folder / "write-999999999.json").write_text('[{"targets":["x:1"],"labels":{"instance":"h/write"}}]')
    one = TargetFile(tmp_path / "run", "write")
    one.write("127.0.0.1:1")
    (found,) = folder.glob("*.json")
    group = json.loads(found.read_text())[0]
    assert group["targets"] == ["127.0.0.1:1"]
    assert group["labels"] == {"process": "write", "instance": f"{socket.gethostname()}/write"}
    beside = folder / "write-1.json"  # of a process that lives: init
    beside.write_text(found.read_text())
    one.write("127.0.0.1:1")
    assert json.loads(found.read_text())[0]["labels"]["instance"].endswith("/write-2")
    one.remove()
    assert list(folder.glob("*.json")) == [beside]


def test_writers_of_two_run_folders_are_told_apart(tmp_path: pathlib.Path) -> None:
    TargetFile(tmp_path / "run-2", "write").write("127.0.0.1:1")
    (found,) = tmp_path.glob("run-2/targets/*.json")
    assert json.loads(found.read_text())[0]["labels"]["instance"] == f"{socket.gethostname()}/run-2/write"


def test_closed_right_after_the_start_it_ends_in_order() -> None:
    for _ in range(100):
        one = Endpoint("127.0.0.1", 0, {})
        one.start()
        one.close()
        assert not one._thread.is_alive()
