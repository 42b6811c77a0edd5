"""Damage to the log's files: a typed error, or every acknowledged byte; never silence."""

from __future__ import annotations

import os
import pathlib
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable

import pytest

from k2core.errors import BrokerError, LogCorruptError, LogVersionError
from tests.integration.broker.log_world import (
    TOPIC,
    a_log,
    a_topic,
    batch,
    numbers_of,
    read_all,
    running,
)

LONG = bool(os.environ.get("K2_LONG"))
FLIPS = 3000 if LONG else 100
CRASHED = """
import os, pathlib, sys
from tests.integration.broker.log_world import a_topic, batch
log = a_topic(pathlib.Path(sys.argv[1])).__enter__()
producer = log.producer()
for start in range(0, 240, 8):
    producer.produce([batch(range(start, start + 8), size=200)])
os._exit(0)
"""
Change = Callable[[bytearray], object]


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A log whose process died with everything still in the write-ahead log."""
    folder = tmp_path_factory.mktemp("crashed")
    assert running(CRASHED, folder).communicate()[1] == ""
    assert (folder / "log.db-wal").stat().st_size > 100_000
    return folder


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A log that was closed in order: everything is in the main file."""
    folder = tmp_path_factory.mktemp("closed")
    with a_topic(folder) as log:
        producer = log.producer()
        for start in range(0, 240, 8):
            producer.produce([batch(range(start, start + 8), size=200)])
    assert not (folder / "log.db-wal").exists()
    return folder


def damaged(source: pathlib.Path, target: pathlib.Path, name: str, change: Change) -> pathlib.Path:
    """A copy of a log with one file changed."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    raw = bytearray((target / name).read_bytes())
    change(raw)
    (target / name).write_bytes(raw)
    return target


def flip(at: int, bit: int) -> Change:
    def change(raw: bytearray) -> None:
        raw[at] ^= 1 << bit

    return change


def outcome(folder: pathlib.Path) -> str:
    """Open, read all, append, read all again: the error's name, or `whole`."""
    try:
        with a_log(folder) as log:
            assert sorted(numbers_of(read_all(log))) == list(range(240))
            log.producer().produce([batch(range(240, 248))])
            assert sorted(numbers_of(read_all(log))) == list(range(248))
            assert read_all(log)[-1].first_offset < 1 << 40, "a new epoch without need"
            return "whole"
    except BrokerError as error:
        return type(error).__name__


def places(size: int, seed: int) -> list[tuple[int, int]]:
    """Bits to flip: all over the file, and more of them where the structure is."""
    pick = random.Random(seed)
    structure = [page * 4096 + pick.randrange(120) for page in range(size // 4096)]
    everywhere = [pick.randrange(size) for _ in range(FLIPS)]
    return [(at, pick.randrange(8)) for at in (*range(100), *structure, *everywhere)]


def test_undamaged_logs_are_whole(crashed: pathlib.Path, closed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for source in (crashed, closed):
        assert outcome(damaged(source, tmp_path / "c", "log.db", lambda raw: None)) == "whole"


def test_a_flipped_bit_in_the_write_ahead_log_is_never_silent(crashed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    size = (crashed / "log.db-wal").stat().st_size
    last = [(size - 4120 + at, at % 8) for at in range(0, 4120, 97)]  # the frame of the last commit
    seen = Counter(
        outcome(damaged(crashed, tmp_path / "d", "log.db-wal", flip(at, bit)))
        for at, bit in [*((at, at % 8) for at in range(32)), *last, *places(size, 3)]
    )
    assert seen == {"LogCorruptError": sum(seen.values())}, "every bit of it was acknowledged"


def test_a_flipped_bit_in_the_main_file_is_never_silent(closed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    size = (closed / "log.db").stat().st_size
    seen = Counter(outcome(damaged(closed, tmp_path / "d", "log.db", flip(at, bit))) for at, bit in places(size, 4))
    assert set(seen) <= {"whole", "LogCorruptError", "LogVersionError"}
    assert seen["LogCorruptError"] > 100


@pytest.mark.parametrize("name", ["log.db-wal", "log.db"])
def test_a_cut_file_is_never_silent(
    crashed: pathlib.Path, closed: pathlib.Path, tmp_path: pathlib.Path, name: str
) -> None:
    source = crashed if name.endswith("wal") else closed
    size = (source / name).stat().st_size

    def cut(keep: int) -> Change:
        return lambda raw: raw.__delitem__(slice(keep, None))

    for keep in [0, 1, 31, 32, *range(100, size, max(1, size // 60)), size - 1]:
        what = outcome(damaged(source, tmp_path / "t", name, cut(keep)))
        assert what == "LogCorruptError", keep


@pytest.mark.parametrize("name", ["log.db-wal", "log.db"])
def test_a_file_that_is_gone_is_never_silent(crashed: pathlib.Path, tmp_path: pathlib.Path, name: str) -> None:
    copy = damaged(crashed, tmp_path / "g", name, lambda raw: None)
    (copy / name).unlink()
    assert outcome(copy) == "LogCorruptError"


def test_a_torn_tail_that_nobody_was_told_of_vanishes(crashed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    frame = (crashed / "log.db-wal").read_bytes()[-4120:]
    for keep in (1, 24, 1000, 4119, 4120):
        torn = frame[:keep] if keep < 4120 else frame[:-1] + bytes([frame[-1] ^ 1])
        assert outcome(damaged(crashed, tmp_path / "t", "log.db-wal", lambda raw, t=torn: raw.extend(t))) == "whole"


def test_a_note_that_cannot_be_read_does_not_stop_a_sound_log(crashed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    size = (crashed / "log.db-note").stat().st_size
    for at in range(size):
        assert outcome(damaged(crashed, tmp_path / "n", "log.db-note", flip(at, at % 8))) == "whole"


def test_without_its_note_damage_within_the_write_ahead_log_is_found_by_its_sums(
    crashed: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    size = (crashed / "log.db-wal").stat().st_size
    for at in range(32, size, 4120 // 3):
        copy = damaged(crashed, tmp_path / "w", "log.db-wal", flip(at, at % 8))
        (copy / "log.db-note").unlink()
        assert outcome(copy) == "LogCorruptError", at


def test_a_newer_or_foreign_file_is_refused_by_name(closed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    copy = damaged(closed, tmp_path / "v", "log.db", lambda raw: None)
    db = sqlite3.connect(copy / "log.db")
    db.execute("pragma user_version = 99")
    db.close()
    with pytest.raises(LogVersionError, match="has format 99, this k2 reads format 1; install a newer k2"):
        a_log(copy).__enter__()
    (tmp_path / "other").mkdir()
    db = sqlite3.connect(tmp_path / "other" / "log.db")
    db.execute("create table mine (a)")
    db.close()
    with pytest.raises(LogCorruptError, match="no k2 log"):
        a_log(tmp_path / "other").__enter__()


def test_reading_damage_hands_out_what_lies_before_it_then_names_place_and_remedy(tmp_path: pathlib.Path) -> None:
    with a_topic(tmp_path) as log:
        producer = log.producer()
        for start in range(0, 24, 8):
            producer.produce([batch(range(start, start + 8))])
        log._writes.execute("update segment set data = zeroblob(length(data)) where id & 255 = 1")
        consumer = log.consumer([TOPIC])
        assert sorted(numbers_of(consumer.poll(100, 0))) == list(range(8))
        for _ in range(2):
            with pytest.raises(LogCorruptError, match=r"trades.x are damaged \(segment 1, .* 0@2, .*; stop k2 and put"):
                consumer.poll(100, 0)
        log._writes.execute("delete from segment where id & 255 = 1")
        consumer.seek({})
        with pytest.raises(LogCorruptError, match=r"segment 1 of topic market.crypto.trades.x is missing"):
            consumer.poll(100, 0)
