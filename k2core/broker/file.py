"""The log's file: opening, checking, and SQLite's errors in k2's words.

    blocks     id · topic · part · first · count · version · at_us · crc · sizes · data    one row a partition an append
    marks      topic · part · first → id        every so many blocks, so that an offset is found without an index
    ends       topic · part → next · below · crc      next offset, and below which retention removed
    topics     number → name · id · partitions · subject · schemas · crc
    facts      key → value · crc                      epoch, last and promised append time
    consumers  name · topic · part → released offsets (see `releases`) · crc; part -1 registers

A block's CRC32C covers its place, time and bytes, and is verified on every read; the small tables' rows carry one too.
Recovery: a torn tail of the write-ahead log was never acknowledged and vanishes; damage before acknowledged records is
`LogCorruptError`; where the two cannot be told apart, a new epoch starts in the high bits of all offsets.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import pathlib
import sqlite3
from collections.abc import Iterator

from k2core.broker.settings import EmbeddedSettings
from k2core.broker.wal import Tail, examine
from k2core.errors import BrokerError, LogBusyError, LogCorruptError, LogFullError, LogVersionError

APPLICATION_ID, VERSION = 0x6B32_6C67, 1
log = logging.getLogger("k2.broker.embedded")

SCHEMA = """
create table if not exists blocks (id integer primary key autoincrement, topic int not null, part int not null,
  first int not null, count int not null, version int not null, at_us int not null, crc int not null,
  sizes blob not null, data blob not null);
create table if not exists marks (topic int, part int, first int, id int, primary key (topic, part, first)) without rowid;
create table if not exists ends (topic int, part int, next int, below int, crc int, primary key (topic, part))
  without rowid;
create table if not exists topics (number integer primary key, name text unique, id text, partitions int, subject text,
  schemas text, crc int);
create table if not exists facts (key text primary key, value int, crc int) without rowid;
create table if not exists consumers (name text, topic int, part int, settled int, pending int, pending_us int,
  latest int, crc int, primary key (name, topic, part)) without rowid;
"""


class LogDiedError(BrokerError):
    """The disk failed under the log: stop, repair it, start again. What was acknowledged is on disk."""


@contextlib.contextmanager
def translated(path: pathlib.Path) -> Iterator[None]:
    """Turn SQLite's errors into k2's."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and _is_full(path)):
            raise LogFullError(f"no space left for the log {path}: free some; appending resumes by itself") from error
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise LogBusyError(f"another process holds the log {path} for longer than busy_timeout_s") from error
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise LogCorruptError(f"the log {path} is damaged ({error}): {ADVICE}") from error
        if name.startswith("SQLITE_IOERR"):
            raise LogDiedError(f"the disk under the log {path} fails ({error}): stop k2 and repair it") from error
        raise BrokerError(f"the log {path}: {error}") from error


ADVICE = "move it away with its -wal and -shm files and start again; the table keeps what was committed"


def _is_full(path: pathlib.Path) -> bool:
    stat = os.statvfs(path.parent)
    return stat.f_bavail * stat.f_frsize < 1 << 20


def connect(settings: EmbeddedSettings) -> sqlite3.Connection:
    """A connection of its own for one reader or writer."""
    with translated(settings.path):
        db = sqlite3.connect(
            settings.path, timeout=settings.busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        db.execute(f"pragma synchronous={settings.durability}")
        db.execute("pragma cell_size_check=on")
        db.execute("pragma mmap_size=0")
    return db


@contextlib.contextmanager
def writing(db: sqlite3.Connection, path: pathlib.Path) -> Iterator[None]:
    """One transaction with the write lock: all of it or nothing."""
    with translated(path):
        db.execute("begin immediate")
        try:
            yield
            db.execute("commit")
        except BaseException:
            if db.in_transaction:
                db.execute("rollback")
            raise


class Lock:
    """Held shared by everybody who has the log open; whoever gets it alone may look at the file before SQLite."""

    def __init__(self, path: pathlib.Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise BrokerError(f"the log {path} cannot be opened: {error}") from error

    def alone(self) -> bool:
        """Try to be the only one."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def share(self) -> None:
        """Be one of those who have it open."""
        fcntl.flock(self._fd, fcntl.LOCK_SH)

    def close(self) -> None:
        """Let go."""
        os.close(self._fd)


def open_file(settings: EmbeddedSettings, lock: Lock) -> bool:
    """Check and prepare the file.

    Returns:
        Whether records may have been lost that were acknowledged, so that a new epoch must start.

    Raises:
        LogCorruptError: Acknowledged records are gone for certain.
        LogVersionError: A newer k2 wrote it.
    """
    doubtful = False
    if lock.alone():
        tail = examine(settings.path.with_name(settings.path.name + "-wal"))
        if tail is Tail.DAMAGED:
            raise LogCorruptError(
                f"the write-ahead log of {settings.path} is damaged before acknowledged records: {ADVICE}"
            )
        doubtful = tail is Tail.DOUBTFUL or (tail is Tail.TORN and settings.durability == "normal")
        _prepare(settings)
    lock.share()
    return doubtful


def _prepare(settings: EmbeddedSettings) -> None:
    db = connect(settings)
    try:
        with translated(settings.path):
            application, version = (db.execute(f"pragma {p}").fetchone()[0] for p in ("application_id", "user_version"))
            empty = not db.execute("select 1 from sqlite_master").fetchone()
            if not empty and application != APPLICATION_ID:
                raise LogVersionError(f"{settings.path} is not a k2 log: choose another [broker] path")
            if version > VERSION:
                raise LogVersionError(
                    f"a newer k2 wrote {settings.path} (format {version}, known: {VERSION}): update k2"
                )
            if empty:
                db.execute("pragma auto_vacuum=incremental")
            db.execute("pragma journal_mode=wal")
            db.executescript(
                f"begin immediate;{SCHEMA}pragma application_id={APPLICATION_ID};pragma user_version={VERSION};commit;"
            )
    finally:
        db.close()
