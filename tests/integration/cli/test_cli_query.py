"""`k2 query`: rows, bars and symbols in every shape, and a misspelt symbol is told on stderr."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from k2core.avro.codec import Codec
from k2core.cli.main import run
from k2core.cli.topics import declared_topics, ensure_topics
from k2core.config import load_config
from k2core.config.build import Assembly
from k2core.discovery import discover
from k2core.interfaces.broker import EncodedBatch
from k2core.records.builtin import TRADES
from k2core.records.topics import Topic, partition_of

SETTINGS = """
[connectors.binance]
symbols = ["BTCUSDT"]
[broker]
use = "embedded"
path = "log.db"
[sinks.lake]
use = "iceberg"
warehouse = "warehouse"
"""
Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    (tmp_path / "k2.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    assembly = Assembly(load_config(tmp_path / "k2.toml", env={}), discover())
    now = int(time.time() * 1000)
    rows = [
        {"symbol": "BTCUSDT", "exchange": "binance", "exchange_timestamp_ms": now, "price": 0.5, "quantity": q,
         "side": "buy", "trade_id": str(n)}
        for n, q in enumerate((0.1, 0.2))
    ]  # fmt: skip
    sizes, data = Codec(TRADES).encode(pa.RecordBatch.from_pylist(rows, schema=TRADES.arrow_schema))
    with assembly.broker() as log:
        ensure_topics(log, declared_topics(assembly), assembly.data_types())
        producer = log.producer()
        places = np.full(2, partition_of("BTCUSDT"), np.int32)
        topic = Topic("crypto", "trades", "binance").name
        producer.produce([EncodedBatch(topic, TRADES.versions, places, sizes, data)])
        producer.close()

    def call(*words: str) -> tuple[int, str, str]:
        code = run(["query", *words])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def test_rows_as_lines_of_json(ask: Ask) -> None:
    code, out, err = ask("trades", "--format", "ndjson", "--order", "asc")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, [r["trade_id"] for r in rows]) == (0, ["0", "1"])
    assert "id_epoch" not in rows[0]
    assert "complete: true" in err


def test_symbols_and_bars(ask: Ask) -> None:
    code, out, _ = ask("symbols", "--json")
    (symbol,) = json.loads(out)["symbols"]
    assert (code, symbol["symbol"], symbol["exchange"], symbol["rows"]) == (0, "BTCUSDT", "binance", 2)
    code, out, _ = ask("ohlcv", "--interval", "1d", "--symbol", "BTCUSDT", "--format", "ndjson")
    assert (code, json.loads(out)["volume"]) == (0, 0.3), "what the decimals add up to"


def test_a_symbol_that_nobody_ever_saw_is_told(ask: Ask) -> None:
    code, out, err = ask("trades", "--symbol", "BTCUSD", "--format", "csv")
    assert code == 0
    assert len(out.splitlines()) == 1, "the header alone"
    assert "warning: symbol 'BTCUSD' has never been seen in trades; did you mean BTCUSDT?" in err
    assert json.loads(ask("trades", "--symbol", "BTCUSD", "--json")[1])["warnings"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("ohlcv",), "--interval 1m"),
        (("trades", "--interval", "1m"), "belongs to ohlcv"),
        (("symbols", "--symbol", "X"), "--symbol cannot be given with symbols"),
        (("symbols", "--of", "candles"), "candles"),
    ],
)
def test_what_does_not_go_together_is_usage(ask: Ask, words: tuple[str, ...], hint: str) -> None:
    code, out, err = ask(*words)
    assert (code, out) == (2, "")
    assert hint in err
