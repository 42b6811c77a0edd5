"""A toy exchange: its feed, its dialect and its normalizer, small enough to read at a glance.

A client subscribes with `{"op":"sub","streams":["AAA@trades"],"id":1}` and gets `{"ack":1}` or `{"nack":1,"why":"…"}`.
Data: `{"s":"AAA","id":7,"p":1.5,"ts":1700000000000}`. Control: `{"hb":1}`, `{"bye":1}`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa

from k2core.clock import SystemClock
from k2core.feed.driver import FeedConnector
from k2core.feed.settings import FeedSettings
from k2core.interfaces.connector import ConnectionLimits, FrameKind, Reply, Request, RestClient, WebSocketFeed
from k2core.interfaces.frames import (
    ChannelFacts,
    ConnectorFacts,
    FrameBatch,
    NormalizedBatch,
    Rejected,
    Subscription,
)
from k2core.interfaces.normalizer import Normalizer
from k2core.telemetry.metrics import Metrics
from k2core.testing import Dialect

FACTS = ConnectorFacts(exchange="toy", asset_class="crypto", channels={"trades": ChannelFacts(ids="contiguous")})
QUICK = ConnectionLimits(control_per_second=500, frame_timeout=20, ack_timeout=5)
FAST = FeedSettings(backoff_initial_s=0.02, backoff_max_s=0.1, overlap_s=0.05, check_retry_s=0.05, close_timeout_s=1)


def trade(number: int, symbol: str = "AAA") -> bytes:
    return b'{"s":"%b","id":%d,"p":1.5,"ts":%d}' % (symbol.encode(), number, 1_700_000_000_000 + number)


def trades(first: int, n: int, symbol: str = "AAA") -> list[bytes]:
    return [trade(i, symbol) for i in range(first, first + n)]


def padded(n: int) -> list[bytes]:
    """Trades of 500 bytes: few frames fill what sockets buffer."""
    return [f[:-1] + b',"pad":"' + b"x" * (500 - len(f) - 9) + b'"}' for f in trades(0, n)]


def ids(frames: Sequence[bytes]) -> list[int]:
    return [json.loads(f)["id"] for f in frames]


class ToyDialect(Dialect):
    """The server's side."""

    def on_connect(self, path: str) -> set[str]:
        return set(filter(None, path.partition("streams=")[2].split("/")))

    def on_message(self, message: bytes, current: set[str]) -> tuple[list[bytes], set[str]]:
        asked = json.loads(message)
        return [b'{"ack":%d}' % asked["id"]], current | set(asked["streams"])

    def rest(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        return (200, {}, b'["AAA","BBB","CCC","DDD"]') if path == "/symbols" else (404, {}, b"")

    def shutdown_frame(self, path: str) -> bytes:
        return b'{"bye":1}'

    def refuse(self, message: bytes, streams: set[str]) -> list[bytes]:
        return [b'{"nack":%d,"why":"no such stream"}' % json.loads(message)["id"]]


@dataclass
class ToyFeed(WebSocketFeed):
    """The client's side. `by_url`: streams stand in the URL, nothing is asked for."""

    url: str
    symbols: Sequence[str] = ("AAA",)
    limits: ConnectionLimits = QUICK
    rest_url: str = ""
    by_url: bool = False

    def subscriptions(self) -> Sequence[Subscription]:
        return [Subscription(s, "trades") for s in self.symbols]

    def endpoint(self, subscriptions: Sequence[Subscription]) -> str:
        streams = "/".join(f"{s.symbol}@trades" for s in subscriptions)
        return f"{self.url}/ws?streams={streams}" if self.by_url else f"{self.url}/ws"

    def subscribe(self, subscriptions: Sequence[Subscription], first_id: int) -> Sequence[Request]:
        if self.by_url:
            return ()
        streams = [f"{s.symbol}@trades" for s in subscriptions]
        return [Request(json.dumps({"op": "sub", "streams": streams, "id": first_id}).encode(), str(first_id))]

    def is_data(self, frame: bytes) -> bool:
        return frame.startswith(b'{"s":')

    def classify(self, frame: bytes) -> Reply:
        try:
            said: dict[str, Any] = json.loads(frame)
        except ValueError:
            return Reply(FrameKind.OTHER)
        if "ack" in said:
            return Reply(FrameKind.ACK, str(said["ack"]))
        if "nack" in said:
            return Reply(FrameKind.REFUSED, str(said["nack"]), said["why"])
        kind = FrameKind.HEARTBEAT if "hb" in said else FrameKind.CLOSING if "bye" in said else FrameKind.OTHER
        return Reply(kind)

    async def check(self, rest: RestClient) -> Sequence[Subscription]:
        if not self.rest_url:
            return ()
        known = json.loads((await rest.get(f"{self.rest_url}/symbols")).body)
        return [s for s in self.subscriptions() if s.symbol not in known]


class ToyTrade(msgspec.Struct):
    s: str
    id: int
    p: float
    ts: int


class ToyNormalizer(Normalizer):
    """Reads the toy's frames; raises on a frame that says "boom"."""

    def normalize(self, batch: FrameBatch) -> NormalizedBatch:
        found: list[ToyTrade] = []
        rejected: list[Rejected] = []
        control = 0
        for at, frame in enumerate(batch.frames):
            if b"boom" in frame:
                raise RuntimeError("boom")
            if frame == b'{"note":1}':
                control += 1
                continue
            try:
                found.append(msgspec.json.decode(frame, type=ToyTrade))
            except msgspec.MsgspecError as error:
                rejected.append(Rejected(at, "malformed-json", str(error)))
        columns = {
            "symbol": pa.array([t.s for t in found], pa.string()),
            "exchange": pa.array(["toy"] * len(found), pa.string()),
            "exchange_timestamp_ms": pa.array([t.ts for t in found], pa.int64()),
            "price": pa.array([t.p for t in found], pa.float64()),
            "quantity": pa.array([1.0] * len(found), pa.float64()),
            "trade_id": pa.array([str(t.id) for t in found], pa.string()),
        }
        records = {"trades": pa.RecordBatch.from_pydict(columns)} if found else {}
        return NormalizedBatch(records, rejected, control, len(found))


@dataclass
class Taken:
    """What a reader got from a connector."""

    connector: FeedConnector
    metrics: Metrics
    batches: list[FrameBatch] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def frames(self) -> list[bytes]:
        return [f for b in self.batches for f in b.frames]

    def numbers(self, connection: int) -> list[int]:
        mine = [b for b in self.batches if b.connection == connection]
        return [b.first_number + i for b in mine for i in range(len(b))]

    async def read(self) -> None:
        async for batch in self.connector.frames():
            async with self.changed:
                self.batches.append(batch)
                self.changed.notify_all()

    async def until(self, n: int, within: float = 60) -> list[bytes]:
        """The frames, once there are `n`."""
        async with asyncio.timeout(within), self.changed:
            await self.changed.wait_for(lambda: len(self.frames) >= n)
        return self.frames


async def until_true(holds: Callable[[], bool], within: float = 60) -> None:
    """Wait for something that nothing announces."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.002)


def connect(feed: WebSocketFeed, settings: FeedSettings = FAST, **more: Any) -> FeedConnector:
    metrics = more.pop("metrics", None) or Metrics()
    return FeedConnector(feed, SystemClock(), logging.getLogger("k2.toy"), metrics, "toy", settings, **more)


@asynccontextmanager
async def reading(feed: WebSocketFeed, settings: FeedSettings = FAST, **more: Any) -> AsyncIterator[Taken]:
    """A connector that is read as fast as it goes; at the end its accounts must close."""
    metrics = Metrics()
    async with connect(feed, settings, metrics=metrics, **more) as connector:
        taken = Taken(connector, metrics)
        task = asyncio.create_task(taken.read())
        yield taken
        await connector.close()
        async with asyncio.timeout(60):
            await task
    check_accounts(taken)


def check_accounts(taken: Taken) -> None:
    facts = taken.connector.facts()
    assert facts["frames_received"] == facts["frames_passed"] + facts["frames_control"]
    assert facts["frames_passed"] == len(taken.frames)
    assert taken.metrics.value("k2_ingest_frames_total", outcome="control") == facts["frames_control"]
    assert taken.metrics.value("k2_ingest_connections") == 0
    for number in {b.connection for b in taken.batches}:
        numbers = taken.numbers(number)
        assert numbers == sorted(set(numbers))
