"""A real server on loopback over a log and a table in memory."""

from __future__ import annotations

import threading

import httpx2
import pyarrow as pa
import pytest

from k2core.admission import Admission
from k2core.api.app import create_app
from k2core.api.keys import Auth
from k2core.api.loop import TailLoop
from k2core.api.readiness import Readiness
from k2core.api.server import bind, port_of, serve
from k2core.avro.codec import Codec
from k2core.clock import SystemClock
from k2core.config.settings import ApiSettings, QuerySettings
from k2core.degradation.board import LevelBoard
from k2core.interfaces.frames import ChannelFacts
from k2core.query.cursor import Cursors
from k2core.query.service import QueryService
from k2core.query.tail import Tail
from k2core.records.builtin import QUOTES, TRADES
from k2core.records.topics import partition_of
from k2core.telemetry.metrics import Metrics
from k2core.testing.memory_log import MemoryLog
from k2core.testing.memory_table import MemoryTable

KEY = "k2_a-key-for-these-tests"
TOPICS = {d.name: f"market.crypto.{d.name}.binance" for d in (TRADES, QUOTES)}


class Server:
    """Log, table, tails, service and HTTP, all of it real but the log and the table."""

    def __init__(self, folder, settings=None):
        self.clock, self.metrics = SystemClock(), Metrics()
        self.log = MemoryLog(self.clock)
        self.tables = {d.name: MemoryTable(d) for d in (TRADES, QUOTES)}
        self.settings = settings or QuerySettings(wait_s=0.3)
        self.admissions = {d.name: Admission(d, {"binance": ChannelFacts(ids="contiguous")}) for d in (TRADES, QUOTES)}
        self.folder, self.stop = folder, threading.Event()
        self.service = self.new_service()
        self.loops = {n: TailLoop(t, self.clock, self.stop) for n, t in self.service.tails.items()}
        self.readiness = Readiness(self.loops, folder, 5, self.clock)
        self.board = LevelBoard(self.log, self.clock, announce_s=30)

    def new_service(self) -> QueryService:
        tails = {
            d.name: Tail(
                d, self.admissions[d.name], self.log, self.tables[d.name], [TOPICS[d.name]], self.settings,
                self.clock, self.metrics,
            )
            for d in (TRADES, QUOTES)
        }  # fmt: skip
        cursors = Cursors(b"one installation's key")
        return QueryService([TRADES, QUOTES], self.tables, tails, self.log, self.settings, self.clock, cursors)

    def start(self, auth=None) -> None:
        self.listener = bind("127.0.0.1", 0, auth=True)
        self.url = f"http://127.0.0.1:{port_of(self.listener)}"
        app = create_app(self.service, auth or Auth([KEY]), ApiSettings(), self.readiness, self.metrics, self.board)
        for loop in self.loops.values():
            loop.start()
        self.thread = threading.Thread(target=serve, args=(app, self.listener, self.stop), daemon=True)
        self.thread.start()

    def trades(self, first: int, last: int, symbol: str = "BTCUSDT") -> None:
        now = self.clock.now_ms()
        rows = [
            {"symbol": symbol, "exchange": "binance", "exchange_timestamp_ms": now - 60_000 + n, "price": 0.1 + n,
             "quantity": 1e-8, "side": "buy", "trade_id": str(n), "received_timestamp_us": self.clock.now_us()}
            for n in range(first, last)
        ]  # fmt: skip
        sizes, data = Codec(TRADES).encode(pa.RecordBatch.from_pylist(rows, TRADES.arrow_schema))
        self.log.append((TOPICS["trades"], partition_of(symbol)), 3, sizes.tolist(), data)
        ends = self.log.ends([TOPICS["trades"]])
        tail = self.service.tails["trades"]
        assert tail.wait(lambda v: all(v.ends.get(p, 0) >= n for p, n in ends.items()), 60)

    def close(self) -> None:
        self.stop.set()
        self.thread.join(120)
        assert not self.thread.is_alive()
        assert all(loop.stop(60) for loop in self.loops.values())
        self.listener.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("run"))
    running.start()
    assert all(loop.caught_up.wait(120) for loop in running.loops.values())
    running.trades(0, 250)
    running.trades(0, 30, "ETHUSDT")
    yield running
    running.close()


@pytest.fixture(scope="module")
def http(server):
    with httpx2.Client(base_url=server.url, headers={"X-API-Key": KEY}) as client:
        yield client


@pytest.fixture
def stranger(server):
    with httpx2.Client(base_url=server.url) as client:
        yield client
