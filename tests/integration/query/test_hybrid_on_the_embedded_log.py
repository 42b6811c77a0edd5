"""The tail on the real embedded log: rows, holes read again, waiting for one's own writes, closed times."""

from __future__ import annotations

import logging
import time

import numpy as np
import pyarrow as pa
import pytest

from k2core.admission import Admission
from k2core.avro.codec import Codec
from k2core.broker.specs import topic_spec
from k2core.builtin import k2_brokers
from k2core.clock import SystemClock
from k2core.component import Context
from k2core.config.settings import QuerySettings
from k2core.interfaces.broker import EncodedBatch
from k2core.interfaces.frames import ChannelFacts
from k2core.query.answer import RowsRequest
from k2core.query.cursor import Cursors
from k2core.query.service import QueryService
from k2core.query.tail import Tail
from k2core.records.builtin import TRADES
from k2core.records.topics import Topic, partition_of
from k2core.telemetry.metrics import Metrics
from k2core.testing.memory_table import MemoryTable

TOPIC = Topic("crypto", "trades", "binance")
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture
def log(tmp_path):
    (embedded,) = k2_brokers()
    context = Context(clock=SystemClock(), logger=logging.getLogger("k2.test"), metrics=Metrics())
    with embedded.factory(embedded.settings(path=tmp_path / "log.db"), context) as broker:
        broker.ensure_topics([topic_spec(TOPIC, TRADES)])
        yield broker


def produce(producer, first, last):
    clock = SystemClock()
    rows = [
        {"symbol": s, "exchange": "binance", "exchange_timestamp_ms": clock.now_ms(), "price": 1.5, "quantity": 1.0,
         "trade_id": str(n)}
        for n in range(first, last) for s in SYMBOLS
    ]  # fmt: skip
    sizes, data = Codec(TRADES).encode(pa.RecordBatch.from_pylist(rows, TRADES.arrow_schema))
    partitions = np.array([partition_of(r["symbol"]) for r in rows], np.int32)
    return producer.produce([EncodedBatch(TOPIC.name, 3, partitions, sizes, data)])


def serve(log, table, **settings):
    clock, limits = SystemClock(), QuerySettings().model_copy(update=settings)
    admission = Admission(TRADES, {"binance": ChannelFacts(ids="contiguous")})
    tail = Tail(TRADES, admission, log, table, [TOPIC.name], limits, clock, Metrics())
    return QueryService([TRADES], {"trades": table}, {"trades": tail}, log, limits, clock, Cursors(b"k"))


def ids(service, **words):
    answer = service.rows("trades", RowsRequest(symbols=("BTCUSDT",), descending=False, **words))
    assert answer.complete
    return [int(i) for i in answer.rows.column("trade_id").to_pylist()]


def test_rows_holes_and_closed_times(log):
    producer, service = log.producer(), serve(log, MemoryTable(TRADES), tail_bytes=20_000)
    tail = service.tails["trades"]
    tail.advance(0)
    for first in range(0, 400, 50):
        produce(producer, first, first + 50)
        tail.advance(1)
    produce(producer, 0, 3)
    tail.advance(1)
    assert max(tail.view.starts.values()) > 0
    assert ids(service, limit=1000) == list(range(400))
    at_us = SystemClock().now_us()
    deadline = time.monotonic() + 1
    while SystemClock().now_us() <= at_us and time.monotonic() < deadline:
        pass
    assert service.rows("trades", RowsRequest(as_of_us=at_us)).reproducible
    produce(producer, 400, 410)
    tail.advance(1)
    assert ids(service, limit=1000, as_of_us=at_us) == list(range(400))
    tail.close()


def test_a_second_server_starts_in_the_middle(log):
    producer, table = log.producer(), MemoryTable(TRADES)
    produce(producer, 0, 20)
    first = serve(log, table)
    first.tails["trades"].advance(1)
    rows = first.rows("trades", RowsRequest()).rows.to_pylist()
    table.commit(rows, log.ends([TOPIC.name]))
    ends = produce(producer, 10, 30)
    second = serve(log, table)
    second.tails["trades"].advance(1)
    assert second.tails["trades"].follower.duplicates == 20
    assert ids(second, limit=100, min_offset=ends) == list(range(30))
    for service in (first, second):
        service.tails["trades"].close()
