"""Commands that only read make neither log nor catalog; `k2 consumers` lists and removes."""

from __future__ import annotations

import json
import pathlib
import threading
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from k2core.avro.codec import Codec
from k2core.broker.specs import topic_spec
from k2core.cli.main import run
from k2core.cli.session import Session
from k2core.cli.supervise import Ending
from k2core.cli.up import LEAST_S, remaining
from k2core.config import load_config
from k2core.config.build import Assembly
from k2core.discovery import discover
from k2core.interfaces.broker import EncodedBatch
from k2core.records.builtin import TRADES
from k2core.records.topics import Topic, partition_of

TOPIC = Topic("crypto", "trades", "binance")
Shown = Callable[..., tuple[int, str, str]]
READING = (("query", "trades"), ("lag",), ("dlq",), ("consumers", "list"), ("consumers", "remove", "x"), ("maintain",))


@pytest.fixture
def k2(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    monkeypatch.chdir(tmp_path)
    for name in ("K2_CONFIG", "K2_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "k2.toml").write_text('[connectors.binance]\nsymbols = ["BTCUSDT"]\n[sinks.lake]\nuse = "iceberg"\n')

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(list(arguments))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def capture(folder: pathlib.Path, *consumers: str) -> None:
    """What ingest leaves behind: a log with three trades, and who will read them."""
    assembly = Assembly(load_config(folder / "k2.toml", env={}), discover())
    rows = [
        {"symbol": "BTCUSDT", "exchange": "binance", "exchange_timestamp_ms": int(time.time() * 1000), "price": 1.5,
         "quantity": 1.0, "trade_id": str(n)}
        for n in range(3)
    ]  # fmt: skip
    sizes, data = Codec(TRADES).encode(pa.RecordBatch.from_pylist(rows, TRADES.arrow_schema))
    with assembly.broker() as log:
        log.ensure_topics([topic_spec(TOPIC, TRADES)])
        for name in consumers:
            log.register(name, [TOPIC.name])
        place = np.full(3, partition_of("BTCUSDT"), np.int32)
        log.producer().produce([EncodedBatch(TOPIC.name, TRADES.versions, place, sizes, data)])


@pytest.mark.parametrize("command", READING)
def test_a_reading_command_makes_nothing_and_says_what_to_run(
    k2: Shown, tmp_path: pathlib.Path, command: tuple[str, ...]
) -> None:
    code, out, err = k2(*command)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert "yet" in err
    assert "run `k2 up`" in err
    assert [path.name for path in tmp_path.iterdir()] == ["k2.toml"]


def test_doctor_makes_nothing_either(k2: Shown, tmp_path: pathlib.Path) -> None:
    k2("doctor", "--json")
    assert [path.name for path in tmp_path.iterdir()] == ["k2.toml"]


def test_where_only_a_log_is_its_rows_are_answered_and_no_catalog_is_made(k2: Shown, tmp_path: pathlib.Path) -> None:
    capture(tmp_path)
    code, out, err = k2("query", "trades", "--json")
    assert code == 0, err
    assert [row["trade_id"] for row in json.loads(out)["trades"]] == ["2", "1", "0"]
    assert json.loads(k2("lag", "--json")[1])[-1]["records"] == 3
    assert json.loads(k2("dlq", "--json")[1]) == []
    assert not (tmp_path / "data" / "warehouse").exists()
    with Assembly(load_config(tmp_path / "k2.toml", env={}), discover()).broker() as log:
        assert list(log.topics()) == [TOPIC.name], "asking makes no topics"


def test_consumers_are_listed_and_removed(k2: Shown, tmp_path: pathlib.Path) -> None:
    capture(tmp_path, "lake.market.trades", "gone.market.trades")
    found = {one["name"]: one for one in json.loads(k2("consumers", "list", "--json")[1])}
    assert {name: (one["kept"], one["known"]) for name, one in found.items()} == {
        "lake.market.trades": (3, True), "gone.market.trades": (3, False),
    }  # fmt: skip
    code, out, _ = k2("consumers", "remove", "gone.market.trades")
    assert (code, out) == (0, "removed gone.market.trades: 3 records are kept for it no longer\n")
    code, _, err = k2("consumers", "remove", "gone.market.trades")
    assert code == 2
    assert "there are: lake.market.trades" in err
    code, _, err = k2("consumers", "remove", "lake.market.trades")
    assert code == 2
    assert "--force" in err
    assert k2("consumers", "remove", "lake.market.trades", "--force")[0] == 0
    assert json.loads(k2("consumers", "list", "--json")[1]) == []


def ending(session: Session, left_s: float) -> Ending:
    return Ending(cut_short=["write"], deadline=session.clock.monotonic() + left_s)


def test_what_a_writer_that_was_cut_short_left_is_counted_from_the_log(k2: Shown, tmp_path: pathlib.Path) -> None:
    capture(tmp_path, "lake.market.trades")
    session = Session(tmp_path / "k2.toml")
    assert remaining(ending(session, 20), session) == "3 trades"
    assert not (tmp_path / "data" / "warehouse").exists()


def test_counting_takes_no_longer_than_the_time_that_is_left(
    k2: Shown, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture(tmp_path, "lake.market.trades")
    session, never = Session(tmp_path / "k2.toml"), threading.Event()
    monkeypatch.setattr("k2core.cli.up.uncommitted", lambda assembly: {"trades": int(never.wait(300))})
    began = time.monotonic()
    said = remaining(ending(session, 0), session)
    assert time.monotonic() - began < LEAST_S + 100
    never.set()
    assert "k2 lag" in said
