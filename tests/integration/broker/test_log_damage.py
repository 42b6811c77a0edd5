"""Damage to the log's files: a typed error, or the very bytes that were written; never silence."""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys

import pytest

from k2core.broker.embedded import EmbeddedBroker
from k2core.broker.settings import EmbeddedSettings
from k2core.clock import SystemClock
from k2core.errors import BrokerError, LogCorruptError, LogVersionError
from tests.integration.broker.log_parts import batch, numbers_of, open_log, read_all

LONG = bool(os.environ.get("K2_LONG"))
CRASHED = """
import os, pathlib, sys
from tests.integration.broker.log_parts import batch, open_log
log = open_log(pathlib.Path(sys.argv[1]))
producer = log.producer()
for start in range(0, 240, 8):
    producer.produce([batch(range(start, start + 8))])
os._exit(0)
"""


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A log whose process died with everything still in the write-ahead log."""
    folder = tmp_path_factory.mktemp("crashed")
    root = pathlib.Path(__file__).resolve().parents[3]
    subprocess.run([sys.executable, "-c", CRASHED, str(folder)], check=True, cwd=root)
    assert (folder / "log.db-wal").stat().st_size > 30_000
    return folder


def outcome(folder: pathlib.Path) -> tuple[str, list[int]]:
    """Open and read everything: what came of it."""
    log = None
    try:
        log = EmbeddedBroker(EmbeddedSettings(path=folder / "log.db"), SystemClock())
        blocks = read_all(log)
        epoch = log._state().facts.get("epoch", 0)
        return ("new epoch" if epoch else "read"), sorted(numbers_of(blocks))
    except BrokerError as error:
        return type(error).__name__, []
    finally:
        if log is not None:
            log.close()


def damaged(source: pathlib.Path, target: pathlib.Path, name: str, change: object) -> pathlib.Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    (target / "log.db-shm").unlink(missing_ok=True)
    raw = bytearray((target / name).read_bytes())
    change(raw)  # type: ignore[operator]
    (target / name).write_bytes(raw)
    return target


def test_an_undamaged_crash_loses_nothing(crashed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    copy = damaged(crashed, tmp_path / "c", "log.db-wal", lambda raw: None)
    assert outcome(copy) == ("read", list(range(240)))


def test_a_flipped_bit_in_the_write_ahead_log_is_never_silent(crashed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    size, pick, seen = (crashed / "log.db-wal").stat().st_size, random.Random(3), set[str]()
    for _ in range(2000 if LONG else 250):
        at, bit = pick.randrange(size), pick.randrange(8)

        def flip(raw: bytearray, at: int = at, bit: int = bit) -> None:
            raw[at] ^= 1 << bit

        what, got = outcome(damaged(crashed, tmp_path / "d", "log.db-wal", flip))
        seen.add(what)
        if what == "read":
            assert got == list(range(240)), f"bit {bit} of byte {at}: {240 - len(got)} acknowledged records are gone"
    assert "LogCorruptError" in seen


def test_a_torn_write_ahead_log_ends_at_a_transaction(crashed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    size, pick = (crashed / "log.db-wal").stat().st_size, random.Random(4)
    for _ in range(60):
        keep = pick.randrange(size)

        def tear(raw: bytearray, keep: int = keep) -> None:
            del raw[keep:]

        what, got = outcome(damaged(crashed, tmp_path / "t", "log.db-wal", tear))
        if what in {"read", "new epoch"}:
            assert got == list(range(len(got)))
            assert len(got) % 8 == 0


def test_a_flipped_bit_in_the_file_is_never_silent(tmp_path: pathlib.Path) -> None:
    source, pick, seen = tmp_path / "s", random.Random(6), set[str]()
    source.mkdir()
    log = open_log(source)
    for start in range(0, 400, 8):
        log.producer().produce([batch(range(start, start + 8))])
    log.close()
    sqlite3.connect(source / "log.db").execute("pragma wal_checkpoint(truncate)").connection.close()
    size = (source / "log.db").stat().st_size
    for _ in range(2000 if LONG else 250):
        at, bit = pick.randrange(size), pick.randrange(8)

        def flip(raw: bytearray, at: int = at, bit: int = bit) -> None:
            raw[at] ^= 1 << bit

        what, got = outcome(damaged(source, tmp_path / "d", "log.db", flip))
        seen.add(what)
        if what == "read":
            assert got == list(range(400)), f"bit {bit} of byte {at}"
    assert {"LogCorruptError", "read"} <= seen


def test_a_newer_or_foreign_file_is_refused_by_name(tmp_path: pathlib.Path) -> None:
    open_log(tmp_path).close()
    db = sqlite3.connect(tmp_path / "log.db")
    db.execute("pragma user_version=99")
    db.close()
    with pytest.raises(LogVersionError, match="a newer k2 wrote"):
        open_log(tmp_path)
    (tmp_path / "other").mkdir()
    db = sqlite3.connect(tmp_path / "other" / "log.db")
    db.execute("create table mine (a)")
    db.close()
    with pytest.raises(LogVersionError, match="is not a k2 log"):
        open_log(tmp_path / "other")


def test_a_doubtful_end_starts_a_new_epoch_and_no_offset_is_used_again(
    crashed: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    def flip_last(raw: bytearray) -> None:
        raw[-100] ^= 1

    copy = damaged(crashed, tmp_path / "e", "log.db-wal", flip_last)
    log = open_log(copy)
    assert sorted(numbers_of(read_all(log))) == list(range(232))
    log.producer().produce([batch(range(1000, 1004))])
    last = read_all(log)[-4:]
    assert {block.first_offset for block in last} == {1 << 40}
    log.close()
    again = open_log(copy)
    assert again.ends(["market.crypto.trades.x"]) == {("market.crypto.trades.x", p): (1 << 40) + 1 for p in range(4)}
    again.close()


def test_reading_damage_names_place_and_remedy(tmp_path: pathlib.Path) -> None:
    log = open_log(tmp_path)
    log.producer().produce([batch(range(8))])
    log._db.execute("update blocks set data = zeroblob(length(data)) where part = 2")
    with pytest.raises(LogCorruptError, match=r"trades.x/2: the block at offset 0 .* move it away"):
        read_all(log)
    log.close()
