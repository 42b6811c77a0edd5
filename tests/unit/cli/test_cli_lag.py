"""`k2 lag`: records and seconds by partition, of one record read per partition that lags, on any log."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from k2core.avro.codec import Codec
from k2core.broker.specs import topic_spec
from k2core.cli.lag import ages_of, lags, oldest
from k2core.cli.main import run
from k2core.config import load_config
from k2core.config.build import Assembly
from k2core.discovery import discover
from k2core.interfaces.broker import Broker, EncodedBatch
from k2core.records.builtin import TRADES
from k2core.records.topics import PARTITIONS, Topic
from k2core.testing import ManualClock
from k2core.testing.memory_log import MemoryLog

TOPIC = Topic("crypto", "trades", "binance")
Shown = Callable[..., tuple[int, str, str]]
SETTINGS = '[connectors.binance]\nsymbols = ["BTCUSDT"]\n'


def append(log: Broker, partitions: list[int]) -> None:
    """A record to each of these partitions, in one append."""
    row = {"symbol": "A", "exchange": "binance", "exchange_timestamp_ms": 1_700_000_000_000, "price": 1.5, "quantity": 1.0,
           "trade_id": "1"}  # fmt: skip
    sizes, data = Codec(TRADES).encode(pa.RecordBatch.from_pylist([row] * len(partitions), TRADES.arrow_schema))
    log.ensure_topics([topic_spec(TOPIC, TRADES)])
    log.producer().produce([EncodedBatch(TOPIC.name, TRADES.versions, np.array(partitions, np.int32), sizes, data)])


@pytest.fixture
def k2(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "k2.toml").write_text(SETTINGS)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(list(arguments))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def assembly() -> Assembly:
    return Assembly(load_config(pathlib.Path("k2.toml"), env={}), discover())


def test_each_partition_has_the_age_of_the_record_that_the_table_lacks() -> None:
    clock = ManualClock(1_700_000_000_000_000_000)
    log = MemoryLog(clock)
    append(log, [0, 0, 1, 2])
    clock.advance(10)
    append(log, [0, 1])
    clock.advance(5)
    place = TOPIC.name
    wanted = {(place, 0): 2, (place, 1): 0, (place, 2): 0}
    found = ages_of(log, wanted, log.ends([place]), clock)
    assert {number: round(age) for (_, number), age in found.items()} == {0: 5, 1: 15, 2: 15}
    assert ages_of(log, {}, {}, clock) == {}


def test_the_oldest_of_all() -> None:
    assert oldest([]) == 0
    assert oldest([1.0, None, 3.0]) == 3
    assert oldest([None]) is None


def test_it_is_shown_by_partition_and_in_total(k2: Shown) -> None:
    with assembly().broker() as log:
        append(log, [3, 3, 7])
    code, out, _ = k2("lag")
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert [row[:5] for row in rows if row[0] == "trades"] == [
        ["trades", "market.trades", TOPIC.name, "3", "2"],
        ["trades", "market.trades", TOPIC.name, "7", "1"],
        ["trades", "market.trades", "all", "all", "3"],
    ]
    assert rows[-1][:3] == ["total:", "3", "records,"]
    (found,) = [one for one in json.loads(k2("lag", "--json")[1]) if one["data_type"] == "trades"]
    assert (found["records"], found["snapshot_id"], len(found["partitions"])) == (3, None, 2)
    assert 0 <= found["partitions"][0]["seconds"] <= found["seconds"] < 60


def test_nothing_is_behind_once_it_is_written(k2: Shown) -> None:
    with assembly().broker() as log:
        append(log, list(range(PARTITIONS)))
    k2("write", "--once")
    found = json.loads(k2("lag", "--json")[1])
    assert [(one["records"], one["seconds"], one["partitions"]) for one in found] == [(0, 0.0, [])] * len(found)


def test_16_partitions_take_no_second(k2: Shown) -> None:
    with assembly().broker() as log:
        for _ in range(300):
            append(log, list(range(PARTITIONS)) * 20)
    made = assembly()
    lags(made)  # libraries are loaded now
    began, busy = time.monotonic(), time.process_time()
    (found,) = [one for one in lags(made) if one.data_type == "trades"]
    assert len(found.partitions) == PARTITIONS
    assert all(one.seconds is not None for one in found.partitions)
    assert min(time.monotonic() - began, time.process_time() - busy) < 1
