"""Embedded log → Iceberg with the shipped writer: killed at every crash point, fenced, restarted."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
from collections import Counter

import pytest

from k2core.avro.codec import Codec
from k2core.errors import FencedError
from k2core.records.builtin import DEAD_LETTERS
from k2core.writer.crash import POINTS
from tests.integration.writer import writer_lake
from tests.integration.writer.writer_lake import Lake

ROOT = pathlib.Path(__file__).resolve().parents[3]


def fill(lake: Lake) -> Counter[tuple[str, str]]:
    """80 records with copies, late ids and refused ones; returns what the table must hold."""
    for start in range(0, 60, 10):
        lake.append("BTCUSDT", *range(start, start + 8), start, start + 3)
    lake.append("ETHUSDT", 5, 6, 7, 6)
    lake.append("BTCUSDT", 9, 8, 9)
    lake.append("ETHUSDT", 8, price=-1.0)
    ids = [i for start in range(0, 60, 10) for i in range(start, start + 8)] + [8, 9]
    return Counter([("BTCUSDT", str(i)) for i in ids] + [("ETHUSDT", str(i)) for i in (5, 6, 7)])


def write_in_child(folder: pathlib.Path, **environment: str) -> int:
    command = [sys.executable, writer_lake.__file__, str(folder)]
    ran = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment, "PYTHONPATH": str(ROOT)}, timeout=60)
    return ran.returncode


def letters(lake: Lake) -> set[str]:
    consumer = lake.log.consumer(["market.crypto.dead_letters.binance"])
    codec = Codec(DEAD_LETTERS)
    found = {
        origin
        for block in consumer.poll(1000, 0)
        for origin in codec.decode(block.version, block.sizes, block.data).batch.column("origin").to_pylist()
    }
    consumer.close()
    return found


@pytest.mark.parametrize(("point", "times"), [(p, n) for p in POINTS for n in (1, 3)])
def test_killed_there_everything_is_stored_once(tmp_path: pathlib.Path, point: str, times: int) -> None:
    with Lake(tmp_path) as lake:
        wanted = fill(lake)
        assert write_in_child(tmp_path, K2_CRASH_AT=point, K2_CRASH_AFTER=str(times)) == -signal.SIGKILL
        assert lake.write_once().exit_code == 0
        assert lake.stored() == wanted
        assert len(letters(lake)) == 1
        lake.append("BTCUSDT", 3, 100, 9)
        assert lake.write_once().exit_code == 0
        assert lake.stored() == wanted + Counter({("BTCUSDT", "100"): 1})


def test_a_second_writer_fences_the_first(tmp_path: pathlib.Path) -> None:
    with Lake(tmp_path) as lake:
        old, new = lake.writer(), lake.writer()
        old.start()
        lake.append("BTCUSDT", 1, 2)
        assert old.step(1)
        new.start()
        assert new.step(1)
        assert new.commit()
        with pytest.raises(FencedError):
            old.commit()
        assert lake.stored() == Counter({("BTCUSDT", "1"): 1, ("BTCUSDT", "2"): 1})


def test_nothing_to_do(tmp_path: pathlib.Path) -> None:
    with Lake(tmp_path) as lake:
        assert lake.write_once().exit_code == 0
        lake.append("BTCUSDT", 1)
        assert lake.write_once().exit_code == 0
        assert lake.write_once().exit_code == 0
        assert lake.stored() == Counter({("BTCUSDT", "1"): 1})


def test_a_restart_on_a_full_window_knows_every_id(tmp_path: pathlib.Path) -> None:
    """More rows than one Parquet row group, of two symbols: the window is built from them, holes and all."""
    with Lake(tmp_path) as lake:
        for start in range(0, 80_000, 8000):
            lake.append("BTCUSDT", *range(start, start + 7999))
        lake.append("ETHUSDT", 1, 2, 4)
        assert lake.write_once().exit_code == 0
        lake.append("BTCUSDT", 0, 7998, 7999, 79_998, 79_999)
        lake.append("ETHUSDT", 4, 3)
        writer = lake.writer()
        writer.start()
        assert sum(len(hole) for hole in writer.holes()) == 9 + 1
        while writer.step(0):
            assert writer.waiting
        assert writer.commit()
        assert sum(len(hole) for hole in writer.holes()) == 8
        stored = lake.stored()
        assert set(stored.values()) == {1}
        assert len(stored) == 10 * 7999 + 2 + 4


@pytest.mark.parametrize("appended", [5, 80])
def test_an_older_copy_of_the_log_is_refused_and_nothing_is_passed_over(tmp_path: pathlib.Path, appended: int) -> None:
    with Lake(tmp_path) as lake:
        lake.append("BTCUSDT", *range(10))
    kept = {path.name: path.read_bytes() for path in tmp_path.glob("log.db*")}
    with Lake(tmp_path) as lake:
        lake.append("BTCUSDT", *range(10, 30))
        assert lake.write_once().exit_code == 0
    for path in tmp_path.glob("log.db*"):
        path.unlink()
    for name, content in kept.items():
        (tmp_path / name).write_bytes(content)
    with Lake(tmp_path) as lake:
        lake.append("BTCUSDT", *range(30, 30 + appended))  # 80: beyond what the table accounts for
        result = lake.write_once()
        assert result.exit_code == 1
        assert "an older copy of the log was put back" in str(result.failed["trades"])
