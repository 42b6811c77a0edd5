"""New topics of two tables at once, while a sink fails for a moment: who runs goes on, what was found is handed over."""

from __future__ import annotations

import logging
import pathlib
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from k2core.avro.codec import Codec
from k2core.broker.database import LogClosedError
from k2core.broker.specs import topic_spec
from k2core.cli.processes import Process, StopSignals
from k2core.cli.session import Session
from k2core.cli.writers import Writers
from k2core.errors import LogCorruptError, SinkError
from k2core.interfaces.broker import Broker, EncodedBatch
from k2core.interfaces.sink import Sink, SinkTable
from k2core.records.builtin import QUOTES, TRADES
from k2core.records.data_type import DataType
from k2core.records.topics import Topic, partition_of
from k2core.telemetry.status import StatusFile
from k2core.writer.pipeline import WriterPipeline

TYPES = {"trades": TRADES, "quotes": QUOTES}
ROW = {"symbol": "BTCUSDT", "price": 1.5, "quantity": 1.0, "trade_id": "7"}


class Locking(Sink):
    """A sink whose tables of one data type cannot be opened while it is locked."""

    def __init__(self, sink: Sink) -> None:
        self.sink, self.locked = sink, ""

    def table(self, data_type: DataType) -> SinkTable:
        if data_type.name == self.locked:
            raise SinkError("the catalog is locked")
        return self.sink.table(data_type)


class World:
    """The shipped log and the shipped sink, and `Writers` on them; topics are made as ingest does."""

    def __init__(self, folder: pathlib.Path, log: Broker, sink: Locking, process: Process) -> None:
        self.folder, self.log, self.sink = folder, log, sink
        self.writers = Writers(process, log, {"lake": sink})

    def new_topics(self, exchange: str) -> None:
        self.log.ensure_topics([topic_spec(Topic("crypto", name, exchange), TYPES[name]) for name in TYPES])

    def append(self, exchange: str) -> None:
        row = {**ROW, "exchange": exchange, "exchange_timestamp_ms": int(time.time() * 1000)}
        sizes, data = Codec(TRADES).encode(pa.RecordBatch.from_pylist([row], TRADES.arrow_schema))
        topic, place = Topic("crypto", "trades", exchange).name, np.array([partition_of("BTCUSDT")], np.int32)
        self.log.producer().produce([EncodedBatch(topic, TRADES.versions, place, sizes, data)])


@pytest.fixture
def world(tmp_path: pathlib.Path) -> Iterator[World]:
    (tmp_path / "k2.toml").write_text(f'[run]\npath = "{tmp_path}/run"\n[broker]\npath = "{tmp_path}/log.db"\n'
                                      f'[sinks.lake]\nuse = "iceberg"\nwarehouse = "{tmp_path}/lake"\n')  # fmt: skip
    session = Session(config_option=tmp_path / "k2.toml")
    assembly = session.assembly
    status = StatusFile(tmp_path / "run", "write", assembly.clock, assembly.metrics)
    logger = logging.getLogger("k2.write")
    process = Process(name="write", session=session, status=status, signals=StopSignals(), logger=logger)
    with assembly.broker() as log, assembly.sinks()["lake"] as sink:
        made = World(tmp_path, log, Locking(sink), process)
        yield made
        made.writers.close()


def by_type(pipelines: list[WriterPipeline]) -> dict[str, tuple[str, ...]]:
    return {p.parts.data_type.name: tuple(Topic.parse(t).exchange for t in p.parts.topics) for p in pipelines}


def written(pipeline: WriterPipeline) -> int:
    """Records that it commits now."""
    if not pipeline.started:
        pipeline.start()
    while pipeline.step(0):
        pass
    count = pipeline.waiting
    pipeline.commit()
    return count


@pytest.mark.parametrize("locked", TYPES)
def test_a_table_that_cannot_be_opened_stops_no_other(world: World, locked: str) -> None:
    (sound,) = set(TYPES) - {locked}
    world.new_topics("a")
    first = world.writers.find()
    assert by_type(first) == {"trades": ("a",), "quotes": ("a",)}
    world.new_topics("b")
    world.sink.locked = locked
    second = world.writers.look()
    assert by_type(second) == {sound: ("a", "b")}, "what was made is handed over: what it replaces is closed"
    assert by_type(world.writers.all) == {sound: ("a", "b"), locked: ("a",)}
    world.append("a")
    (trades,) = (p for p in world.writers.all if p.parts.data_type.name == "trades")
    assert written(trades) == 1, "whichever writes trades by now, it works"
    assert world.writers.look() == [], "still locked"
    world.sink.locked = ""
    third = world.writers.look()
    assert by_type(third) == {locked: ("a", "b")}
    assert by_type(world.writers.all) == {"trades": ("a", "b"), "quotes": ("a", "b")}
    assert world.writers.look() == [], "all topics have their writers"
    world.append("b")
    (trades,) = (p for p in world.writers.all if p.parts.data_type.name == "trades")
    assert written(trades) == 1


def test_what_fails_is_told_and_leaves_no_connection_behind(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.new_topics("a")
    world.writers.find()
    world.new_topics("b")
    world.sink.locked = "quotes"
    with caplog.at_level(logging.INFO, "k2.write"):
        world.writers.look()
        open_files = len(list(pathlib.Path("/dev/fd").iterdir()))
        for _ in range(5):
            world.writers.look()
    assert len(list(pathlib.Path("/dev/fd").iterdir())) == open_files
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(said) == 6
    assert "data_type=quotes" in said[0]
    assert "the catalog is locked" in said[0]


def test_a_connection_that_was_closed_is_no_damaged_log(world: World) -> None:
    world.new_topics("a")
    consumer = world.log.consumer([Topic("crypto", "trades", "a").name])
    consumer.close()
    with pytest.raises(LogClosedError, match="used after it was closed") as raised:
        consumer.poll(1, 0)
    assert not isinstance(raised.value, LogCorruptError)
    assert "files back" not in str(raised.value)
