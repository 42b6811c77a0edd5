"""Our own look at SQLite's write-ahead log, against SQLite itself."""

from __future__ import annotations

import pathlib
import random
import sqlite3

import pytest

from k2core.broker.wal import WalScan, scan

FRAME = 24 + 4096


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A write-ahead log of 30 transactions, three or four frames each."""
    path = tmp_path_factory.mktemp("wal") / "a.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("pragma journal_mode = wal")
    db.execute("create table t (a)")
    for n in range(30):
        db.execute("insert into t values (?)", (bytes([n]) * 9000,))
    raw = path.with_name("a.db-wal").read_bytes()
    db.close()
    return raw


def scanned(folder: pathlib.Path, raw: bytes) -> WalScan:
    (folder / "x-wal").write_bytes(raw)
    return scan(folder / "x-wal")


def test_what_is_whole_is_seen_as_whole(written: bytes, tmp_path: pathlib.Path) -> None:
    frames = (len(written) - 32) // FRAME
    assert scanned(tmp_path, written) == WalScan(header=True, good=frames)
    assert scanned(tmp_path, written + b"abc") == WalScan(header=True, good=frames, partial=True)
    assert scanned(tmp_path, b"") == scanned(tmp_path, written[:31]) == scan(tmp_path / "none") == WalScan()


def test_every_flipped_bit_is_seen_where_it_is(written: bytes, tmp_path: pathlib.Path) -> None:
    pick = random.Random(1)
    for at in [*range(32), *(pick.randrange(32, len(written)) for _ in range(150))]:
        raw = bytearray(written)
        raw[at] ^= 1 << pick.randrange(8)
        found = scanned(tmp_path, bytes(raw))
        if at < 32:
            assert not found.header
        else:
            assert found.good == (at - 32) // FRAME, at


def test_left_overs_of_an_earlier_log_are_not_its_own(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("pragma journal_mode = wal")
    db.execute("create table t (a)")
    for _ in range(20):
        db.execute("insert into t values (zeroblob(9000))")
    db.execute("pragma wal_checkpoint(restart)").fetchone()
    db.execute("insert into t values (zeroblob(100))")
    found = scan(path.with_name("a.db-wal"))
    assert 0 < found.good < 5
    assert (found.own, found.good_after, found.within) == (False, 0, False)
    db.close()


def test_it_tells_damage_within_a_transaction_from_damage_between_two(written: bytes, tmp_path: pathlib.Path) -> None:
    commits = [i for i in range((len(written) - 32) // FRAME) if any(written[32 + i * FRAME + 4 :][:4])]
    first, inner = commits[10] + 1, commits[10] + 2
    for frame, within in ((first, False), (inner, True)):
        raw = bytearray(written)
        raw[32 + frame * FRAME + 1000] ^= 4
        found = scanned(tmp_path, bytes(raw))
        assert (found.good, found.own, found.within) == (frame, True, within)
        assert found.commits_after >= 15
