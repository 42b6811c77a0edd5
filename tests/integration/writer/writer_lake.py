"""A writer on real parts: the embedded log and an Iceberg table in one folder. As a script it writes once and exits.

python writer_lake.py FOLDER
"""

from __future__ import annotations

import logging
import pathlib
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import k2_plugin_iceberg
import k2_plugin_memory
import pyarrow as pa
from k2_plugin_binance import FACTS

from k2core import builtin
from k2core.admission import Admission
from k2core.avro.codec import Codec
from k2core.broker.specs import topic_spec
from k2core.clock import SystemClock
from k2core.component import Component, Context
from k2core.config.settings import WriterSettings
from k2core.interfaces.broker import EncodedBatch
from k2core.records.builtin import DEAD_LETTERS, TRADES
from k2core.records.topics import Topic, partition_of
from k2core.telemetry.metrics import Metrics
from k2core.writer import WriterPipeline, WriterResult, run_writer

TOPIC = Topic("crypto", "trades", "binance")
PLAIN = pa.schema([
    ("symbol", pa.string()), ("exchange", pa.string()), ("exchange_timestamp_ms", pa.int64()), ("price", pa.float64()),
    ("quantity", pa.float64()), ("side", pa.string()), ("trade_id", pa.string()),
])  # fmt: skip


class Lake:
    """Everything in one folder; closed as a context manager."""

    def __init__(self, folder: pathlib.Path, **writer: Any) -> None:
        self.folder, self.clock, self.metrics = folder, SystemClock(), Metrics()
        self.settings = WriterSettings(**writer)
        self._stack = ExitStack()
        self.log = self._stack.enter_context(self.made(builtin.k2_brokers(), path=folder / "log.db"))
        dead = Topic(TOPIC.asset_class, DEAD_LETTERS.name, TOPIC.exchange)
        self.log.ensure_topics([topic_spec(TOPIC, TRADES), topic_spec(dead, DEAD_LETTERS)])
        self.sink = self._stack.enter_context(self.made(k2_plugin_iceberg.k2_sinks(), warehouse=folder / "lake"))

    def made(self, offered: Iterable[Component[Any]], **settings: Any) -> Any:
        """The one component that is offered."""
        (component,) = offered
        context = Context(clock=self.clock, logger=logging.getLogger("k2.lake"), metrics=self.metrics)
        return component.factory(component.settings(**settings), context)

    def __enter__(self) -> Lake:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def append(self, symbol: str, *ids: int, price: float = 1.5) -> None:
        """Append trades of one symbol."""
        self.append_all([(symbol, i) for i in ids], price)

    def append_all(self, trades: Sequence[tuple[str, int]], price: float = 1.5) -> None:
        """Append trades: symbol and id of each."""
        now = self.clock.now_ms()
        rows = [
            {"symbol": symbol, "exchange": "binance", "exchange_timestamp_ms": now, "price": price, "quantity": 2.0,
             "side": "sell", "trade_id": str(i)}
            for symbol, i in trades
        ]  # fmt: skip
        sizes, data = Codec(TRADES).encode(pa.RecordBatch.from_pylist(rows, schema=PLAIN))
        places = pa.array([partition_of(symbol) for symbol, _ in trades], pa.int32()).to_numpy()
        producer = self.log.producer()
        producer.produce([EncodedBatch(TOPIC.name, TRADES.versions, places, sizes, data)])
        producer.close()

    def writer(self) -> WriterPipeline:
        """A new pipeline."""
        writer = WriterPipeline(
            data_type=TRADES, topics=[TOPIC.name], consumer=self.log.consumer([TOPIC.name]),
            producer=self.log.producer(), broker=self.log, sink_table=self.sink.table(TRADES),
            dedup=self.made(k2_plugin_memory.k2_dedup_stores()), admission=Admission(TRADES, FACTS_BY_EXCHANGE),
            settings=self.settings, clock=self.clock, metrics=self.metrics, logger=logging.getLogger("k2.write"),
            owner="test",
        )  # fmt: skip
        self._stack.callback(writer.close)
        return writer

    def write_once(self) -> WriterResult:
        """Commit what the log holds."""
        return run_writer([self.writer()], threading.Event(), once=True, clock=self.clock)

    def stored(self) -> Counter[tuple[str, str]]:
        """Identities in the table, read with pyiceberg alone."""
        from pyiceberg.catalog.sql import SqlCatalog

        catalog = SqlCatalog("k2", uri=f"sqlite:///{self.folder / 'lake' / 'catalog.db'}")
        try:
            found = catalog.load_table("market.trades").scan().to_arrow()
        finally:
            catalog.close()
        return Counter(zip(found["symbol"].to_pylist(), found["trade_id"].to_pylist(), strict=True))


FACTS_BY_EXCHANGE = {"binance": FACTS.channels["trades"]}

if __name__ == "__main__":
    with Lake(pathlib.Path(sys.argv[1]), commit_rows=20, poll_records=10) as lake:
        sys.exit(lake.write_once().exit_code)
