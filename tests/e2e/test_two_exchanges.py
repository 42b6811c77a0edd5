"""Binance and Kraken side by side under one `k2 up`: one table, each as it was sent; a slash in a symbol survives all."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pathlib
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from k2_plugin_binance.settings import LocalBinanceSettings
from k2_plugin_kraken.local import LocalKraken
from k2_plugin_kraken.settings import LocalKrakenSettings

from k2core.cli.demo_exchange import ExchangeThread, toml
from k2core.testing import compare
from tests.e2e.capture import Capture, capture, wait_until
from tests.e2e.command import run_k2

SMALL: dict[str, Any] = {"trades": 1200, "seconds": 2, "double_every": 9, "malformed": 1}
pytestmark = pytest.mark.xdist_group("two-exchanges")  # the fixture runs everything once
KEY = "two-exchanges"
SYMBOL = "BTC/USD"


class Both:
    """A `k2 up` that has stored the tapes of two exchanges."""

    def __init__(self, world: Capture, kraken: ExchangeThread) -> None:
        self.world, self.exchanges = world, {"binance": world.exchange, "kraken": kraken}

    def issued(self, data_type: str) -> list[dict[str, Any]]:
        return [row for exchange in self.exchanges.values() for row in exchange.issued(data_type)]

    def get(self, target: str) -> bytes:
        asked = urllib.request.Request(f"http://127.0.0.1:{self.world.port}{target}", headers={"X-API-Key": KEY})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return bytes(answer.read())

    def ready(self) -> bool:
        with contextlib.suppress(OSError):
            return b"ready" in self.get("/readyz")
        return False

    def stored(self) -> bool:
        with contextlib.suppress(Exception):
            return all(self.world.rows(name).num_rows >= len(self.issued(name)) > 0 for name in ("trades", "quotes"))
        return False

    def command(self, *arguments: str) -> str:
        done = run_k2(self.world.settings, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("two")
    with ExchangeThread(LocalKraken(LocalKrakenSettings(**SMALL))) as kraken:
        lines = [f"{key} = {toml(value)}" for key, value in kraken.settings().items()]
        extra = "\n".join(["", "[connectors.kraken]", *lines, ""])
        with capture(folder, LocalBinanceSettings(**SMALL), extra) as world:
            found = Both(world, kraken)
            up = world.start("up", K2_API_KEY=KEY, NO_COLOR="1")
            wait_until("the API is ready", found.ready, alive=up)
            tapes = [one.play() for one in found.exchanges.values()]
            wait_until("both tapes are played", lambda: all(tape.done() for tape in tapes), alive=up)
            assert [tape.result() for tape in tapes] == [None, None]
            wait_until("all of it is stored", found.stored, alive=up)
            yield found


@pytest.mark.parametrize("data_type", ["trades", "quotes"])
def test_one_table_holds_what_both_sent_exactly_once(both: Both, data_type: str) -> None:
    issued, rows = both.issued(data_type), both.world.rows(data_type)
    assert {row["exchange"] for row in issued} == {"binance", "kraken"}
    columns = sorted(set(issued[0]) & set(issued[-1]))
    report = compare(issued, rows, columns)
    assert report.ok, str(report)
    assert rows.num_rows == len(issued) > 2000


def test_each_exchange_has_topics_and_one_dead_letter_of_its_own(both: Both) -> None:
    topics = set(both.world.rows("trades").column("topic").to_pylist())
    assert topics == {"market.crypto.trades.binance", "market.crypto.trades.kraken"}
    letters = json.loads(both.command("dlq", "--json"))
    assert sorted(letter["exchange"] for letter in letters) == ["binance", "kraken"]
    assert {letter["reason"] for letter in letters} == {"malformed-json"}


@pytest.mark.parametrize("symbol", [SYMBOL, quote(SYMBOL, safe="")])
def test_a_slash_in_a_query_is_a_slash(both: Both, symbol: str) -> None:
    wanted = [row for row in both.issued("trades") if row["symbol"] == SYMBOL]
    body = json.loads(both.get(f"/v1/trades?symbol={symbol}&limit=1000"))
    assert {trade["symbol"] for trade in body["trades"]} == {SYMBOL}
    assert {trade["exchange"] for trade in body["trades"]} == {"kraken"}
    assert body["count"] == min(len(wanted), 1000)
    (quoted,) = json.loads(both.get(f"/v1/quotes?symbol={symbol}&limit=1"))["quotes"]
    assert quoted["symbol"] == SYMBOL
    bars = json.loads(both.get(f"/v1/ohlcv?symbol={symbol}&interval=1m"))
    assert sum(bar["trades"] for bar in bars["bars"]) == len(wanted)


def test_pages_go_on_over_a_slash(both: Both) -> None:
    wanted = [row["trade_id"] for row in both.issued("trades") if row["symbol"] == SYMBOL]
    target, seen = f"/v1/trades?symbol={SYMBOL}&limit=100&order=asc", []
    while target:
        body = json.loads(both.get(target))
        seen += [trade["trade_id"] for trade in body["trades"]]
        target = (body.get("next_url") or "").replace(f"http://127.0.0.1:{both.world.port}", "")
    assert sorted(seen) == sorted(wanted)


def test_other_formats_and_lists_name_the_symbol_as_it_is(both: Both) -> None:
    rows = list(csv.DictReader(io.StringIO(both.get(f"/v1/trades?symbol={SYMBOL}&format=csv").decode())))
    assert {row["symbol"] for row in rows} == {SYMBOL}
    listed = json.loads(both.get("/v1/symbols?exchange=kraken"))
    assert SYMBOL in json.dumps(listed)


def test_the_command_line_takes_a_slash(both: Both) -> None:
    found = json.loads(both.command("query", "trades", "--symbol", SYMBOL, "--limit", "5", "--json"))
    assert [trade["symbol"] for trade in found["trades"]] == [SYMBOL] * 5


def test_no_path_is_made_of_a_symbol(both: Both) -> None:
    names = [name for _, folders, files in os.walk(both.world.folder) for name in (*folders, *files)]
    assert not [name for name in names if "BTC" in name or name == "USD"]
    assert pathlib.Path(both.world.folder, "data", "warehouse", "market.trades").is_dir()
