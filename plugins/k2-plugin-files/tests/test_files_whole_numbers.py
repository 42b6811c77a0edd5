"""Ids and whole numbers that a Parquet file holds as doubles: their digits, or a dead letter that says why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Reading = Callable[..., Any]
COLUMNS = {"symbol": "s", "price": "p", "quantity": "q"}
TIME = {"columns": ["t"], "format": "us"}
START = 1_770_026_400_000_000
MOST = 2**53 - 1


def table(path: Path, numbers: Any) -> Path:
    n = len(numbers)
    rest = {"s": ["X"] * n, "t": [START + at for at in range(n)], "p": [1.5] * n, "q": [1.0] * n}
    pq.write_table(pa.table({**rest, "i": numbers}), path)
    return path


def test_doubles_are_the_ids_that_a_csv_file_prints(reading: Reading, tmp_path: Path) -> None:
    ids = [1081862675, 0, 7, -3, MOST, 10**15]
    path = table(tmp_path / "t.parquet", pa.array([float(i) for i in ids]))
    (tmp_path / "t.csv").write_text("s,t,p,q,i\n" + "".join(f"X,{START + at},1.5,1,{i}\n" for at, i in enumerate(ids)))
    columns = {**COLUMNS, "trade_id": "i"}
    found = reading(path, columns=columns, time=TIME, batch_rows=4)
    assert found.ids == [str(i) for i in ids]
    assert found.ids == reading(tmp_path / "t.csv", columns=columns, time=TIME).ids


def test_two_ids_never_become_one(reading: Reading, tmp_path: Path) -> None:
    near = [MOST, 2**53, 2**53 + 1, 72057594037927937, 72057594037927938]
    path = table(tmp_path / "t.parquet", pa.array([float(i) for i in near]))
    found = reading(path, columns={**COLUMNS, "trade_id": "i"}, time=TIME)
    assert found.ids == [str(MOST)]
    assert found.dead == dict.fromkeys((2, 3, 4, 5), "inexact-number")
    assert b"72057594" in found.payloads[4].replace(b".", b"")


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32()])
def test_smaller_types_hold_fewer_ids(reading: Reading, tmp_path: Path, kind: Any) -> None:
    first = {pa.float16(): 2**11, pa.float32(): 2**24}[kind]
    path = table(tmp_path / "t.parquet", pa.array([first - 1.0, float(first)], pa.float64()).cast(kind))
    found = reading(path, columns={**COLUMNS, "trade_id": "i"}, time=TIME)
    assert (found.ids, found.dead) == ([str(first - 1)], {2: "inexact-number"})


@pytest.mark.parametrize("wrong", [1.5, float("nan"), float("inf"), -0.25])
@pytest.mark.parametrize("name", ["trade_id", "sequence_num"])
def test_what_is_not_whole_is_refused(reading: Reading, tmp_path: Path, name: str, wrong: float) -> None:
    path = table(tmp_path / "t.parquet", pa.array([1.0, wrong, 3.0]).dictionary_encode())
    found = reading(path, columns={**COLUMNS, name: "i"}, time=TIME)
    assert found.dead == {2: "bad-number"}
    assert [int(row[name]) for row in found.rows] == [1, 3]


def test_an_empty_one_is_missing_not_zero(reading: Reading, tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", pa.array([1.0, None]))
    (_, row) = reading(path, columns={**COLUMNS, "sequence_num": "i"}, time=TIME).rows
    assert row["sequence_num"] is None
    found = reading(path, columns={**COLUMNS, "trade_id": "i"}, time=TIME)
    assert (found.ids, found.dead) == (["1"], {2: "missing-field"}), "the writer would refuse it, and not name the row"


def test_prices_stay_as_they_are(reading: Reading, tmp_path: Path) -> None:
    path = table(tmp_path / "t.parquet", pa.array([0.1, 1e22]))
    found = reading(path, columns={**COLUMNS, "price": "i"}, time=TIME)
    assert ([row["price"] for row in found.rows], found.dead) == ([0.1, 1e22], {})
