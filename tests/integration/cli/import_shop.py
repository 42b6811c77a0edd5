"""A folder with settings, files to import, and `k2` run in it: what is killed as a process, all else in this one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from k2core.cli.main import run

K2 = (sys.executable, "-m", "k2core.cli.main")
ENV = {name: value for name, value in os.environ.items() if not name.startswith("K2_")}

TRADES = """
[imports.asx-trades]
use = "files"
exchange = "asx"
asset_class = "equities"
data_type = "trades"
columns = {symbol = "Code", quantity = "Volume", price = {column = "Price", scale = 0.01}}
time = {columns = ["Date", "Time"], format = "%d/%m/%Y %H:%M:%S.%f", zone = "Australia/Sydney"}
"""
QUOTES = """
[imports.asx-quotes]
use = "files"
exchange = "asx"
asset_class = "equities"
data_type = "quotes"
time = {columns = ["Stamp"], format = "%Y-%m-%dT%H:%M:%S.%f", zone = "Australia/Sydney"}
[imports.asx-quotes.columns]
symbol = "Code"
bid_price = {column = "Bid", missing = "0"}
bid_quantity = {column = "BidVol", missing = "0"}
ask_price = {column = "Ask", missing = "0"}
ask_quantity = {column = "AskVol", missing = "0"}
"""
TICKS = """
[imports.fx]
use = "files"
exchange = "ecn"
asset_class = "fx"
data_type = "ticks"
columns = {symbol = "pair", price = "mid", bid_price = "bid", ask_price = "ask"}
constants = {price_kind = "mid"}
time = {columns = ["ts"], format = "ms"}
"""


class Shop:
    """One folder."""

    def __init__(self, folder: pathlib.Path, settings: str = TRADES) -> None:
        self.folder = folder
        self.settings(settings)

    def settings(self, text: str) -> None:
        (self.folder / "k2.toml").write_text(text)

    def file(self, name: str, lines: Sequence[str]) -> str:
        (self.folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return name

    def k2(self, *arguments: str, code: int = 0) -> str:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            found = run(arguments)
        assert found == code, err.getvalue()
        return out.getvalue() if code == 0 else err.getvalue()

    def bring(self, *arguments: str) -> list[dict[str, Any]]:
        """`k2 import`, and its accounts."""
        found: list[dict[str, Any]] = json.loads(self.k2("import", *arguments, "--json"))
        return found

    def write(self) -> None:
        self.k2("write", "--once")

    def rows(self, data_type: str = "trades", *arguments: str) -> list[dict[str, Any]]:
        answer = json.loads(self.k2("query", data_type, "--limit", "100000", "--order", "asc", "--json", *arguments))
        assert answer["complete"]
        found: list[dict[str, Any]] = answer[data_type]
        return sorted(found, key=lambda r: (r["exchange_timestamp_ms"], r["log_partition"], r["log_offset"]))

    def dead(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.k2("dlq", "--json", "--limit", "100000"))
        return found


def trades(first: int, last: int) -> list[str]:
    """Lines of a file of trades, without the header."""
    codes = ("BHP", "CBA", "RIO")
    return [
        f"{codes[n % 3]},02/02/2026,10:{n // 60 % 60:02d}:{n % 60:02d}.{n % 7 * 100:03d},{4500 + n % 50},{n % 9 + 1},"
        for n in range(first, last)
    ]


HEAD = "Code,Date,Time,Price,Volume,Cond"
