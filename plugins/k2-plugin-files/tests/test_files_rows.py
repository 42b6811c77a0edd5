"""Every row of a file is a record or a dead letter that knows its number, wherever blocks begin and end."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from k2core.plugin import ConfigError, ConnectorError

GOOD = "BHP,02/02/2026,10:00:00.123,4512.5,100,"
BAD = {
    "CBA,31/02/2026,10:00:01.000,1,7,": "bad-time",
    "CBA,05/04/2026,02:30:00.000,1,7,": "ambiguous-time",
    "CBA,02/02/2126,10:00:00.000,1,7,": "time-out-of-range",
    "CBA,02/02/2026,10:00:01.000,abc,7,": "bad-number",
    "CBA,02/02/2026,10:00:01.000,0,7,": "bad-number",
    "CBA,02/02/2026,10:00:01.000,-5,7,": "bad-number",
    "CBA,02/02/2026,10:00:01.000,1.2345678901234567891,7,": "inexact-number",
    "CBA,02/02/2026,10:00:01.000,1,,": "missing-field",
    ",02/02/2026,10:00:01.000,1,7,": "missing-field",
    "CBA,02/02/2026,10:00:01.000,1": "wrong-fields",
    "CBA,02/02/2026,10:00:01.000,1,7,,,": "wrong-fields",
}
Reading = Callable[..., Any]
Csv = Callable[..., Path]


def test_a_row_becomes_a_trade(reading: Reading, csv_file: Csv) -> None:
    (row,) = reading(csv_file(GOOD)).rows
    told = {
        n: row[n] for n in ("symbol", "price", "quantity", "exchange_timestamp_ms", "exchange_timestamp_us", "source")
    }
    assert told == {
        "symbol": "BHP", "price": 45.125, "quantity": 100.0, "exchange_timestamp_ms": 1_769_986_800_123,
        "exchange_timestamp_us": 1_769_986_800_123_000, "source": "import",
    }  # fmt: skip


@pytest.mark.parametrize(("line", "reason"), BAD.items())
def test_a_bad_row_costs_its_neighbours_nothing(reading: Reading, csv_file: Csv, line: str, reason: str) -> None:
    found = reading(csv_file(GOOD, line, GOOD))
    assert found.dead == {2: reason}
    assert [row["symbol"] for row in found.rows] == ["BHP", "BHP"]
    payload = found.payloads[2]
    assert payload == line.encode() if reason == "wrong-fields" else json.loads(payload)["Date"] == line.split(",")[1]


@pytest.mark.parametrize("block_bytes", [1024, 1500, 1 << 20])
@pytest.mark.parametrize("seed", range(5))
def test_rows_keep_their_numbers_across_blocks(reading: Reading, csv_file: Csv, block_bytes: int, seed: int) -> None:
    random, bad = np.random.default_rng(seed), list(BAD)
    wrong = {n: bad[int(random.integers(len(bad)))] for n in range(1, 401) if random.random() < 0.4}
    good = {n: f"S{n},02/02/2026,10:00:00.{n % 1000:03d},{n},1," for n in range(1, 401) if n not in wrong}
    found = reading(csv_file(*(line for _, line in sorted({**wrong, **good}.items()))), block_bytes=block_bytes)
    assert found.dead == {n: BAD[line] for n, line in wrong.items()}
    assert [row["symbol"] for row in found.rows] == [f"S{n}" for n in good]
    assert [row["trade_id"].partition("-")[0] for row in found.rows] == [f"r{n}" for n in good]


def test_bytes_that_are_no_utf8_are_one_dead_letter(reading: Reading, csv_file: Csv) -> None:
    path = csv_file(GOOD, "KÄSE,02/02/2026,10:00:00.123,1,1,", GOOD)
    path.write_bytes(path.read_bytes().replace("Ä".encode(), b"\xc4"))
    assert reading(path).dead == {2: "bad-encoding"}
    assert [r["symbol"] for r in reading(path, encoding="latin-1").rows] == ["BHP", "KÄSE", "BHP"]


def test_quoted_delimiters_and_line_ends_are_text(reading: Reading, csv_file: Csv) -> None:
    rows = reading(csv_file('"A,B",02/02/2026,10:00:00.1,1,1,"x\ny"', GOOD)).rows
    assert [r["symbol"] for r in rows] == ["A,B", "BHP"]


def test_files_without_a_header_packed_and_tabbed(reading: Reading, tmp_path: Path) -> None:
    path, names = tmp_path / "t.tsv.gz", ("Code", "Date", "Time", "Price", "Volume", "Cond")
    path.write_bytes(gzip.compress((GOOD.replace(",", "\t") + "\n").encode()))
    assert [r["symbol"] for r in reading(path, names=names).rows] == ["BHP"]


def test_words_and_empty_fields_mean_what_settings_say(reading: Reading, csv_file: Csv) -> None:
    side = {"column": "Cond", "values": {"B": "buy", "S": "sell"}}
    path = csv_file(GOOD + "B", GOOD + "S", GOOD + "buy", GOOD, GOOD + "?")
    found = reading(path, columns={"symbol": "Code", "quantity": "Volume", "price": "Price", "side": side})
    assert [r["side"] for r in found.rows] == ["buy", "sell", "buy", None]
    assert found.dead == {5: "unknown-value"}
    given = reading(
        path, columns={"symbol": "Code", "quantity": "Volume", "price": "Price"}, constants={"side": "sell"}
    )
    assert {r["side"] for r in given.rows} == {"sell"}


def test_parquet_says_the_same(reading: Reading, tmp_path: Path) -> None:
    table = pa.table({
        "Code": pa.array(["BHP", "CBA", None]).dictionary_encode(), "Price": [45.125, 0.1, 1.0],
        "Volume": pa.array([100, 7, 1]), "At": pa.array([1_769_986_800_123_456, 1, None], pa.timestamp("us", "UTC")),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "t.parquet")
    columns = {"symbol": "Code", "quantity": "Volume", "price": "Price"}
    found = reading(tmp_path / "t.parquet", columns=columns, time={"columns": ["At"]}, batch_rows=2)
    assert [(r["symbol"], r["price"], r["quantity"]) for r in found.rows] == [("BHP", 45.125, 100.0)]
    assert found.rows[0]["exchange_timestamp_us"] == 1_769_986_800_123_456
    assert found.dead == {2: "time-out-of-range", 3: "missing-field"}


@pytest.mark.parametrize("lines", [(), ("x",)])
def test_files_of_nothing_give_nothing(reading: Reading, csv_file: Csv, lines: tuple[str, ...]) -> None:
    found = reading(csv_file(*lines))
    assert (found.rows, len(found.dead)) == ([], len(lines))


def test_what_cannot_be_read_is_said(reading: Reading, csv_file: Csv, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        reading(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="there is no column 'Price', 'Volume'"):
        reading(csv_file("a,b", head="Code,Date"))
    with pytest.raises(ConfigError, match="is there twice"):
        reading(csv_file(head="Code,Date,Time,Price,Volume,Price"))
    with pytest.raises(ConfigError, match="what is in it"):
        reading(csv_file(GOOD, name="trades.dat"))
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ConnectorError, match="cannot be read behind row 0"):
        reading(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data_type": "ticks"}, "no data type 'ticks'.*k2-plugin-ticks"),
        ({"columns": {"symbol": "Code", "prize": "P"}}, "columns.prize: is unknown"),
        ({"columns": {"symbol": "Code", "price": "P"}}, "needs quantity"),
        ({"constants": {"source": "live"}}, "constants.source: is filled by the importer"),
        ({"constants": {"price": "1"}}, "price stands in columns and in constants"),
        ({"time": {}}, "time.columns"),
        ({"columns": {"symbol": {"column": "C", "scale": 10}, "price": "P", "quantity": "Q"}}, "only numbers"),
    ],
)
def test_settings_that_do_not_fit_are_errors(importing: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        importing(**settings)


def test_a_scale_that_is_no_power_of_ten_is_refused(importing: Any) -> None:
    with pytest.raises(ValueError, match="power of ten"):
        importing(columns={"symbol": "C", "quantity": "Q", "price": {"column": "P", "scale": 0.05}})
