"""What a power cut may leave behind: a shorter write-ahead log, an old note, another boot id."""

from __future__ import annotations

import os
import pathlib
import shutil

import google_crc32c
import pytest

from k2core.errors import LogCorruptError
from tests.integration.broker.log_world import TOPIC, a_log, batch, drain, numbers_of, read_all, running

FRAME = 24 + 4096
CRASHED = """
import os, pathlib, sys
from tests.integration.broker.log_world import a_topic, batch
log = a_topic(pathlib.Path(sys.argv[1]), durability=sys.argv[2]).__enter__()
producer = log.producer()
for start in range(0, 80, 8):
    producer.produce([batch(range(start, start + 8), size=400)])
    print(os.path.getsize(log._file.path.with_name("log.db-wal")), flush=True)
os._exit(0)
"""


def crashed(folder: pathlib.Path, durability: str) -> list[int]:
    """A log with ten appends; the length of its write-ahead log after each of them."""
    folder.mkdir()
    return [int(line) for line in running(CRASHED, folder, durability).communicate()[0].split()]


def another_boot(folder: pathlib.Path, forget: int = 0) -> None:
    """Make the note one of an earlier boot, by `forget` writes older than the log."""
    raw = (folder / "log.db-note").read_bytes()
    slots = []
    for at in range(0, len(raw), 32):
        serial = max(0, int.from_bytes(raw[at + 8 : at + 16], "little") - forget)
        text = raw[at : at + 8] + serial.to_bytes(8, "little") + os.urandom(8) + raw[at + 24 : at + 28]
        slots.append(text + int(google_crc32c.value(text)).to_bytes(4, "little"))
    (folder / "log.db-note").write_bytes(b"".join(slots))


def keep(folder: pathlib.Path, size: int) -> None:
    os.truncate(folder / "log.db-wal", size)


def flip(folder: pathlib.Path, at: int) -> None:
    raw = bytearray((folder / "log.db-wal").read_bytes())
    raw[at] ^= 1
    (folder / "log.db-wal").write_bytes(raw)


def test_normal_durability_may_lose_the_newest_and_then_uses_no_offset_twice(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "log"
    lengths = crashed(folder, "normal")
    with a_log(folder, durability="normal") as log:
        consumer = log.consumer([TOPIC])
        drain(consumer)
        at = dict(consumer.positions())
        assert at[TOPIC, 0] == 20
    shutil.rmtree(folder)
    lengths = crashed(folder, "normal")
    keep(folder, lengths[5] + 100)
    another_boot(folder)
    with a_log(folder, durability="normal") as log:
        assert sorted(numbers_of(read_all(log))) == list(range(48))
        consumer = log.consumer([TOPIC])
        consumer.seek(at)  # had read what is lost
        assert consumer.poll(10, 0) == []
        assert log.producer().produce([batch([100, 104])]) == {(TOPIC, 0): (1 << 40) + 2}
        assert numbers_of(consumer.poll(10, 0)) == [100, 104]
        assert consumer.positions()[TOPIC, 0] == (1 << 40) + 2
        assert log.ends([TOPIC]) == {(TOPIC, 0): (1 << 40) + 2, **{(TOPIC, p): 12 for p in (1, 2, 3)}}
        consumer.seek(dict.fromkeys(at, 0))
        assert sorted(numbers_of(drain(consumer))) == [*range(48), 100, 104]
        consumer.seek({(TOPIC, 0): 12, (TOPIC, 1): 12, (TOPIC, 2): 12, (TOPIC, 3): 12})
        assert numbers_of(drain(consumer)) == [100, 104], "between the epochs lies nothing"
    with a_log(folder, durability="normal") as log:
        assert log.producer().produce([batch([108])]) == {(TOPIC, 0): (1 << 40) + 3}, "closed in order: no new epoch"


def test_normal_durability_starts_a_new_epoch_even_where_nothing_shows(tmp_path: pathlib.Path) -> None:
    lengths = crashed(tmp_path / "log", "normal")
    keep(tmp_path / "log", lengths[5])
    another_boot(tmp_path / "log", forget=6)
    with a_log(tmp_path / "log", durability="normal") as log:
        assert log.producer().produce([batch([100])]) == {(TOPIC, 0): (1 << 40) + 1}


def test_full_durability_loses_nothing_acknowledged_and_says_so_if_the_disk_did(tmp_path: pathlib.Path) -> None:
    lengths = crashed(tmp_path / "log", "full")
    shutil.copytree(tmp_path / "log", tmp_path / "lost")
    keep(tmp_path / "lost", lengths[8])
    another_boot(tmp_path / "lost")
    with pytest.raises(LogCorruptError, match="1 acknowledged writes are missing"):
        a_log(tmp_path / "lost").__enter__()
    another_boot(tmp_path / "log", forget=3)
    with a_log(tmp_path / "log") as log:
        assert sorted(numbers_of(read_all(log))) == list(range(80))
        assert log.producer().produce([batch([100])]) == {(TOPIC, 0): 21}, "no new epoch"


def test_full_durability_a_torn_last_transaction_was_never_acknowledged(tmp_path: pathlib.Path) -> None:
    lengths = crashed(tmp_path / "log", "full")
    for torn in (lengths[8] + 32, lengths[8] + FRAME + 32):  # blocks of one transaction reach the disk in any order
        shutil.rmtree(tmp_path / "t", ignore_errors=True)
        shutil.copytree(tmp_path / "log", tmp_path / "t")
        flip(tmp_path / "t", torn)
        another_boot(tmp_path / "t", forget=1)
        with a_log(tmp_path / "t") as log:
            assert sorted(numbers_of(read_all(log))) == list(range(72))
            assert log.producer().produce([batch([100])]) == {(TOPIC, 0): 19}, "no new epoch"


def test_with_an_old_note_damage_within_a_transaction_is_found_by_what_follows(tmp_path: pathlib.Path) -> None:
    lengths = crashed(tmp_path / "log", "full")
    flip(tmp_path / "log", lengths[4] + FRAME + 32)
    another_boot(tmp_path / "log", forget=9)
    with pytest.raises(LogCorruptError, match="is damaged, and whole ones follow it"):
        a_log(tmp_path / "log").__enter__()


def test_with_an_old_note_damage_between_transactions_starts_a_new_epoch(tmp_path: pathlib.Path) -> None:
    lengths = crashed(tmp_path / "log", "full")
    flip(tmp_path / "log", lengths[4] + 32)
    another_boot(tmp_path / "log", forget=9)
    with a_log(tmp_path / "log") as log:
        assert sorted(numbers_of(read_all(log))) == list(range(40))
        assert log.producer().produce([batch([100])]) == {(TOPIC, 0): (1 << 40) + 1}
