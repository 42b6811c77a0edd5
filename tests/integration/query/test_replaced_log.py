"""Beside a log that is not the table's own there is no answer; beside one that lost records, none that says complete."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pytest

from k2core.admission import Admission
from k2core.avro.codec import Codec
from k2core.broker.history import stamps_of
from k2core.broker.specs import topic_spec
from k2core.builtin import k2_brokers
from k2core.clock import SystemClock
from k2core.component import Context
from k2core.config.settings import QuerySettings
from k2core.errors import OffsetGoneError, QueryError, TopicChangedError
from k2core.interfaces.broker import Broker, EncodedBatch
from k2core.interfaces.frames import ChannelFacts
from k2core.interfaces.sink import Gone, LogFacts
from k2core.query.answer import RowsRequest
from k2core.query.cursor import Cursors
from k2core.query.service import QueryService
from k2core.query.tail import Tail
from k2core.records.builtin import TRADES
from k2core.records.topics import Topic, partition_of
from k2core.telemetry.metrics import Metrics
from k2core.testing.clock import ManualClock
from k2core.testing.memory_log import MemoryLog
from k2core.testing.memory_table import MemoryTable

BINANCE, KRAKEN = Topic("crypto", "trades", "binance"), Topic("crypto", "trades", "kraken")
PLACE = BINANCE.name, partition_of("BTCUSDT")
CLOCK = SystemClock()


@contextmanager
def opened(folder: pathlib.Path) -> Iterator[Broker]:
    (embedded,) = k2_brokers()
    context = Context(clock=CLOCK, logger=logging.getLogger("k2.test"), metrics=Metrics())
    with embedded.factory(embedded.settings(path=folder / "log.db"), context) as log:
        log.ensure_topics([topic_spec(BINANCE, TRADES)])
        yield log


def append(log: Broker, *ids: int, topic: Topic = BINANCE) -> None:
    rows = [
        {"symbol": "BTCUSDT", "exchange": topic.exchange, "exchange_timestamp_ms": CLOCK.now_ms(), "price": 1.5,
         "quantity": 1.0, "trade_id": str(n)}
        for n in ids
    ]  # fmt: skip
    sizes, data = Codec(TRADES).encode(pa.RecordBatch.from_pylist(rows, TRADES.arrow_schema))
    partitions = np.full(len(ids), PLACE[1], np.int32)
    producer = log.producer()
    producer.produce([EncodedBatch(topic.name, TRADES.versions, partitions, sizes, data)])
    producer.close()


def commit(log: Broker, table: MemoryTable, *gone: Gone) -> None:
    """What a writer does, without rows: offsets and stamps."""
    consumer = log.consumer([BINANCE.name])
    consumer.seek(log.starts([BINANCE.name]))
    stamps = {place: stamp for place, (_, stamp) in stamps_of(consumer.poll(1 << 20, 0)).items()}
    consumer.close()
    table.commit([], log.ends([BINANCE.name]), LogFacts(stamps=stamps, gone=gone))


def serve(log: Broker, table: MemoryTable, *topics: Topic) -> QueryService:
    limits = QuerySettings.model_validate({"topics_s": 0.01, "wait_s": 0})
    admission = Admission(TRADES, dict.fromkeys(("binance", "kraken"), ChannelFacts(ids="contiguous")))
    names = [topic.name for topic in topics or (BINANCE,)]
    tail = Tail(
        TRADES, admission, log, table, names, limits, CLOCK, Metrics(),
        lambda: sorted(name for name in log.topics() if ".trades." in name),
    )  # fmt: skip
    return QueryService([TRADES], {"trades": table}, {"trades": tail}, log, limits, CLOCK, Cursors(b"k"))


@pytest.mark.parametrize("appended", [1, 50])
def test_an_older_copy_of_the_log_is_not_served(tmp_path: pathlib.Path, appended: int) -> None:
    table = MemoryTable(TRADES)
    with opened(tmp_path) as log:
        append(log, *range(5))
    kept = {path.name: path.read_bytes() for path in tmp_path.glob("log.db*")}
    with opened(tmp_path) as log:
        append(log, *range(5, 20))
        commit(log, table)
        serve(log, table).tails["trades"].advance(0)  # the right one is
    for path in tmp_path.glob("log.db*"):
        path.unlink()
    for name, content in kept.items():
        (tmp_path / name).write_bytes(content)
    with opened(tmp_path) as log:
        append(log, *range(100, 100 + appended))
        with pytest.raises(TopicChangedError, match="an older copy of the log was put back"):
            serve(log, table).tails["trades"].advance(0)


def test_a_log_that_is_replaced_under_those_who_use_it_is_noticed(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path) as log:
        append(log, 1)
        tail, producer = serve(log, MemoryTable(TRADES)).tails["trades"], log.producer()
        tail.advance(0)
        for path in tmp_path.glob("log.db*"):
            path.rename(path.with_name(f"old-{path.name}"))
        with opened(tmp_path) as other:
            append(other, 7)
            rows = pa.RecordBatch.from_pylist(
                [{"symbol": "BTCUSDT", "exchange": "binance", "exchange_timestamp_ms": 1, "price": 1.0, "quantity": 1.0}],
                TRADES.arrow_schema,
            )  # fmt: skip
            sizes, data = Codec(TRADES).encode(rows)
            batch = EncodedBatch(BINANCE.name, TRADES.versions, np.array([PLACE[1]], np.int32), sizes, data)
            for use in (lambda: log.ends([BINANCE.name]), lambda: producer.produce([batch])):
                with pytest.raises(TopicChangedError, match="another file was put in the place of the log"):
                    use()


def test_a_topic_that_is_made_later_is_served(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path) as log:
        append(log, 1, 2)
        service = serve(log, MemoryTable(TRADES))
        tail = service.tails["trades"]
        tail.advance(0)
        log.ensure_topics([topic_spec(KRAKEN, TRADES)])
        append(log, 9, topic=KRAKEN)
        deadline = CLOCK.monotonic() + 60
        while KRAKEN.name not in {topic for topic, _ in tail.view.ends}:
            assert CLOCK.monotonic() < deadline
            tail.advance(0.01)
        answer = service.rows("trades", RowsRequest())
        assert sorted(row["exchange"] for row in answer.rows.to_pylist()) == ["binance", "binance", "kraken"]
        assert answer.complete
        tail.close()


def test_what_was_gone_before_it_was_stored_is_missing_where_it_may_belong(tmp_path: pathlib.Path) -> None:
    table = MemoryTable(TRADES)
    with opened(tmp_path) as log:
        append(log, *range(3))
        before_us = CLOCK.now_us()
        commit(log, table, Gone(*PLACE, 0, 3, before_us))
        append(log, 5)
        service = serve(log, table)
        service.tails["trades"].advance(0)

        def missing(**words: object) -> list[tuple[int, int]]:
            answer = service.rows("trades", RowsRequest(**words))
            assert answer.complete is not bool(answer.missing)
            return [(one.first_offset, one.next_offset) for one in answer.missing]

        assert missing() == [(0, 3)]
        assert missing(symbols=("BTCUSDT",), exchanges=("binance",)) == [(0, 3)]
        assert missing(symbols=("ETHUSDT",)) == []
        assert missing(exchanges=("kraken",)) == []
        assert missing(start_ms=before_us // 1000 + 61_000) == []
        assert missing(end_ms=before_us // 1000) == [(0, 3)]
        assert missing(limit=1) == [(0, 3)], "a page whose last row is no younger than what is gone"
        bars = service.ohlcv(RowsRequest(limit=5), 60_000)
        assert not bars.complete
        service.tails["trades"].close()


def test_a_full_page_of_newer_rows_lacks_nothing(tmp_path: pathlib.Path) -> None:
    table = MemoryTable(TRADES)
    with opened(tmp_path) as log:
        append(log, *range(3))
        commit(log, table, Gone(*PLACE, 0, 3, CLOCK.now_us() - 120_000_000))
        append(log, 5, 6)
        service = serve(log, table)
        service.tails["trades"].advance(0)
        assert service.rows("trades", RowsRequest(limit=2)).complete
        assert not service.rows("trades", RowsRequest(limit=3)).complete
        assert not service.rows("trades", RowsRequest(limit=2, descending=False)).complete
        service.tails["trades"].close()


def test_a_trimmed_log_that_no_writer_passed_yet_is_said_and_waited_for() -> None:
    log = MemoryLog(ManualClock(1_700_000_000_000_000_000))
    log.ensure_topics([topic_spec(BINANCE, TRADES)])
    for n in range(3):
        rows = pa.RecordBatch.from_pylist(
            [{"symbol": "BTCUSDT", "exchange": "binance", "exchange_timestamp_ms": 1_700_000_000_000 + n, "price": 1.0,
              "quantity": 1.0, "trade_id": str(n)}],
            TRADES.arrow_schema,
        )  # fmt: skip
        sizes, data = Codec(TRADES).encode(rows)
        log.append(PLACE, TRADES.versions, sizes.tolist(), data)
    log.trim(PLACE, 2)
    table = MemoryTable(TRADES)
    tail = serve(log, table).tails["trades"]
    with pytest.raises(QueryError, match="k2 write") as said:
        assert [tail.advance(0) for _ in range(3)] == []
    assert said.value.kind == "log-trimmed"
    assert isinstance(said.value.__cause__, OffsetGoneError)
    table.commit([], {PLACE: 2}, LogFacts(gone=(Gone(*PLACE, 0, 2),)))
    for _ in range(3):
        tail.advance(0)
    assert tail.view.ends[PLACE] == 3
