"""`run_serve`: one process from log and table to HTTP; what it refuses, how it ends, what it says of itself."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import httpx2
import msgspec
import pytest

from k2core.admission import Admission
from k2core.api.keys import Auth, KeysFile
from k2core.api.run import ServeParts, run_serve
from k2core.clock import SystemClock
from k2core.config.settings import ApiSettings, QuerySettings, RunSettings
from k2core.errors import ConfigError, LogCorruptError
from k2core.interfaces.query import QuerySource
from k2core.records.builtin import TRADES
from k2core.telemetry.metrics import Metrics
from k2core.telemetry.status import Status, read_statuses
from k2core.testing.memory_log import MemoryLog
from k2core.testing.memory_table import MemoryTable

TOPIC = "market.crypto.trades.binance"


class MemorySource(QuerySource):
    def table(self, data_type):
        return MemoryTable(data_type)


class DamagedLog(MemoryLog):
    def read(self, topics, positions, most):
        raise LogCorruptError("block 7 is not what was written")


def parts(folder, log=None, **api):
    clock = SystemClock()
    return ServeParts(
        data_types=[TRADES], source=MemorySource(), broker=log or MemoryLog(clock),
        admissions={"trades": Admission(TRADES, {})}, topics={"trades": [TOPIC]}, query=QuerySettings(),
        api=ApiSettings(**({"port": 0, "keys_file": folder / "keys.json"} | api)),
        run=RunSettings(path=folder / "run"), clock=clock, metrics=Metrics(),
    )  # fmt: skip


def test_it_serves_tells_its_status_and_stops(tmp_path):
    key = KeysFile(tmp_path / "keys.json").make("mine", SystemClock())
    stop, ports, listening = threading.Event(), [], threading.Event()

    def ready(port):
        ports.append(port)
        listening.set()

    thread = threading.Thread(target=run_serve, args=(parts(tmp_path), stop, ready))
    thread.start()
    try:
        assert listening.wait(60)
        reply = httpx2.get(f"http://127.0.0.1:{ports[0]}/v1/trades", headers={"X-API-Key": key})
        assert (reply.status_code, reply.json()["count"]) == (200, 0)
        status = read_statuses(tmp_path / "run")["serve"]
        assert status.facts["port"] == ports[0]
    finally:
        stop.set()
        thread.join(120)
    assert not thread.is_alive()
    assert read_statuses(tmp_path / "run")["serve"].state == "stopped"


def test_a_taken_port_is_named(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} is taken"):
            run_serve(parts(tmp_path, port=port), threading.Event())


def test_without_keys_only_the_machine_itself_is_served(tmp_path):
    with pytest.raises(ConfigError, match="others can reach"):
        run_serve(parts(tmp_path, host="0.0.0.0", auth=False), threading.Event())


def test_a_damaged_log_ends_the_process_with_its_error(tmp_path):
    with pytest.raises(LogCorruptError, match="block 7"):
        run_serve(parts(tmp_path, DamagedLog(SystemClock())), threading.Event())


def test_a_silent_writer_is_seen_by_readyz(server, stranger):
    now = server.clock.now_ms()

    def tell(at_ms, state):
        status = Status("write", 4711, at_ms, state)
        (server.folder / "write.json").write_bytes(msgspec.json.encode(status))

    for at_ms, state, code in ((now, "running", 200), (now - 60_000, "running", 503), (now - 60_000, "stopped", 200)):
        tell(at_ms, state)
        reply = stranger.get("/readyz")
        assert reply.status_code == code, reply.text
        if code == 503:
            assert "write: wedged or gone: pid 4711" in reply.json()["detail"]
            assert stranger.get("/livez").status_code == 200


def test_queries_beyond_what_may_wait_are_shed(server, http):
    inside, leave = threading.Event(), threading.Event()
    table = server.tables["quotes"]
    newest = table.newest

    def slow():
        if threading.current_thread().name.startswith("query"):
            inside.set()
            leave.wait(60)
        return newest()

    table.newest = slow
    most = server.settings.concurrent + server.settings.waiting
    replies = []
    threads = [
        threading.Thread(target=lambda: replies.append(http.get("/v1/quotes", timeout=60).status_code))
        for _ in range(most)
    ]
    try:
        for each in threads:
            each.start()
        assert inside.wait(60)
        deadline = time.monotonic() + 60
        while server.metrics.value("k2_serve_queries_inside") < most:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        reply = http.get("/v1/quotes", timeout=60)
        assert reply.status_code == 503
        assert reply.json()["type"] == "urn:k2:problem:overloaded"
        assert reply.headers["retry-after"] == "1"
    finally:
        leave.set()
        for each in threads:
            each.join(120)
        del table.newest


def test_keys_are_kept_hashed_and_read_again_when_they_change(tmp_path):
    file = KeysFile(tmp_path / "data" / "keys.json")
    auth = Auth(["given"], file)
    assert (auth.accepts("given"), auth.accepts(None), auth.accepts("x")) == (True, False, False)
    key = file.make("first", SystemClock())
    assert auth.accepts(key)
    assert key.encode() not in (tmp_path / "data" / "keys.json").read_bytes()
    assert (tmp_path / "data" / "keys.json").stat().st_mode & 0o777 == 0o600
    assert file.remove("first")
    assert not auth.accepts(key)
    (tmp_path / "data" / "keys.json").write_text("{")
    with pytest.raises(ConfigError, match=r"keys\.json"):
        auth.accepts("anything")


def test_connections_on_which_nobody_asks_are_closed(tmp_path, monkeypatch):
    from k2core.api import server as module

    monkeypatch.setattr(module, "SILENT_S", 0.2)
    monkeypatch.setattr(module, "MOST_SILENT", 4)
    stop, ports = threading.Event(), []
    made = parts(tmp_path, port=0)
    thread = threading.Thread(target=run_serve, args=(made, stop, ports.append))
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not ports:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        silent = [socket.create_connection(("127.0.0.1", ports[0]), timeout=10) for _ in range(20)]
        for one in silent:
            with contextlib.suppress(ConnectionError):
                assert one.recv(1) == b""
            one.close()
        assert httpx2.get(f"http://127.0.0.1:{ports[0]}/livez").status_code == 200
        assert made.metrics.value("k2_http_silent_connections_closed_total") >= 16
    finally:
        stop.set()
        thread.join(120)
