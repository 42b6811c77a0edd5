"""The SQLite side of the log: connections, schema, transactions, and what SQLite's errors mean.

Faults met here: a full disk (`LogFullError`, the transaction is rolled back and a later one works), another process
that holds the write lock too long (`LogBusyError`), damaged pages (`LogCorruptError`), a disk that fails to write or
sync (`LogWriteError`: never tried again, for the kernel forgets such pages).
"""

from __future__ import annotations

import errno
import pathlib
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

from k2core.broker.segment import WHAT_TO_DO
from k2core.errors import BrokerError, LogBusyError, LogCorruptError, LogFullError, LogVersionError, Permanent

APPLICATION_ID = 0x6B326C67  # "k2lg"
FORMAT = 1
PAGE_SIZE = 4096
SCHEMA = {
    "state": "CREATE TABLE state (key INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    "segment": "CREATE TABLE segment (id INTEGER PRIMARY KEY, head BLOB NOT NULL, sizes BLOB NOT NULL, data BLOB NOT NULL)",
}
_DAMAGE = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_CONSTRAINT,
}
_PAUSE_S = (0.000_2, 0.002)
_NO_SPACE = {sqlite3.SQLITE_IOERR_SHMSIZE}


class LogWriteError(BrokerError, Permanent):
    """The disk failed to write or sync; whether the last append is in the log is unknown. Stop the process."""


class LogClosedError(BrokerError, Permanent):
    """A consumer, producer or broker was used after it was closed. The log itself is sound."""


def connect(
    path: pathlib.Path, *, durability: str, busy_s: float, wal_bytes: int, to_write: bool = False
) -> sqlite3.Connection:
    """A connection with the log's pragmas. One thread at a time may use it; one `to_write` leaves waiting to `writing`."""
    where = f"{path.absolute().as_uri()}?mode=rw"  # never makes a file: a log that vanished must not come back empty
    with translated(path):
        db = sqlite3.connect(where, uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False)
    with closed_on_error(db), translated(path):
        db.execute("pragma secure_delete = off")  # the default here: wipes what retention removes, page by page
        db.execute("pragma cell_size_check = on")
        db.execute(f"pragma synchronous = {durability}")
        db.execute(f"pragma journal_size_limit = {wal_bytes}")
        if (
            to_write
        ):  # only now: whoever closes a connection shuts others out for a moment, to see whether it is the last
            db.execute("pragma schema_version")
            db.execute("pragma busy_timeout = 0")
    return db


def create(db: sqlite3.Connection) -> None:
    """Lay out an empty file."""
    db.execute(f"pragma page_size = {PAGE_SIZE}")
    db.execute("pragma auto_vacuum = none")
    db.execute("pragma journal_mode = wal")
    db.execute("begin immediate")
    for statement in SCHEMA.values():
        db.execute(statement)
    db.execute(f"pragma application_id = {APPLICATION_ID}")
    db.execute(f"pragma user_version = {FORMAT}")


def check_layout(db: sqlite3.Connection, path: pathlib.Path) -> None:
    """Prove that this file is a log that this k2 can read and write.

    Raises:
        LogVersionError: A newer k2 wrote it.
        LogCorruptError: It is something else, or its first page is damaged.
    """
    if _pragma(db, "application_id") != APPLICATION_ID:
        raise LogCorruptError(f"{path} is no k2 log, or its first page is damaged; {WHAT_TO_DO}")
    if (version := _pragma(db, "user_version")) != FORMAT:
        raise LogVersionError(f"{path} has format {version}, this k2 reads format {FORMAT}; install a newer k2")
    found = dict(db.execute("select name, sql from sqlite_master").fetchall())
    shape = (_pragma(db, "page_size"), _pragma(db, "auto_vacuum"), _pragma(db, "encoding"))
    if found != SCHEMA or shape != (PAGE_SIZE, 0, "UTF-8"):
        raise LogCorruptError(f"{path}: the layout of the file is damaged; {WHAT_TO_DO}")


def _pragma(db: sqlite3.Connection, name: str) -> object:
    return db.execute(f"pragma {name}").fetchone()[0]


def used_bytes(db: sqlite3.Connection) -> int:
    """Bytes of the file that hold something; freed pages are used again and do not count."""
    pages, free = (int(str(_pragma(db, name))) for name in ("page_count", "freelist_count"))
    return (pages - free) * PAGE_SIZE


@contextmanager
def writing(db: sqlite3.Connection, path: pathlib.Path, busy_s: float) -> Iterator[None]:
    """One write transaction: the log's write lock is held in here; all or nothing lands, durable as `durability` says.

    Raises:
        LogBusyError: The lock could not be had for `busy_s` seconds; nothing was changed.
    """
    with translated(path):
        _take_lock(db, busy_s)
        try:
            yield
            db.execute("commit")
        finally:
            if db.in_transaction:
                db.execute("rollback")


def _take_lock(db: sqlite3.Connection, busy_s: float) -> None:
    """Ask often: SQLite's own waiting sleeps 100 ms between two tries, and starves beside a busy writer."""
    waited = 0.0
    while True:
        try:
            db.execute("begin immediate")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or waited >= busy_s:
                raise
        else:
            return
        pause = random.uniform(*_PAUSE_S)  # noqa: S311 - spreads those who wait
        time.sleep(pause)
        waited += pause


@contextmanager
def reading(db: sqlite3.Connection, path: pathlib.Path) -> Iterator[None]:
    """One view of the log: what is read in here belongs together."""
    with translated(path):
        db.execute("begin")
        try:
            yield
        finally:
            if db.in_transaction:
                db.execute("rollback")


@contextmanager
def closed_on_error(db: sqlite3.Connection) -> Iterator[None]:
    """Close the connection when what follows fails."""
    try:
        yield
    except BaseException:
        db.close()
        raise


@contextmanager
def translated(path: pathlib.Path) -> Iterator[None]:
    """Turn SQLite's errors into the log's own."""
    try:
        yield
    except sqlite3.Error as error:
        raise _meaning(error, path) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LogFullError(f"{path}: no space left on the disk; nothing was appended, free some space") from error
        raise LogWriteError(f"{path}: {error}; stop this process and look at the disk") from error


def _meaning(error: sqlite3.Error, path: pathlib.Path) -> BrokerError:
    if isinstance(error, sqlite3.ProgrammingError) and "closed database" in str(error):
        return LogClosedError(f"{path}: used after it was closed ({error}); restart this process and report it")
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by Python's own layer, on values that no k2 has written
        return LogCorruptError(f"{path}: {error}; {WHAT_TO_DO}")
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_FULL or code in _NO_SPACE:
        return LogFullError(f"{path}: no space left on the disk; nothing was appended, free some space")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        name = getattr(error, "sqlite_errorname", code)
        return LogBusyError(f"{path}: another process held the log for longer than busy_s ({name}); try again")
    if primary in _DAMAGE or code == sqlite3.SQLITE_IOERR_SHORT_READ:
        return LogCorruptError(f"{path}: the file is damaged ({error}); {WHAT_TO_DO}")
    if primary == sqlite3.SQLITE_ERROR:  # our statements are fixed: only a damaged schema makes one wrong
        return LogCorruptError(f"{path}: the file's schema is damaged ({error}); {WHAT_TO_DO}")
    name = getattr(error, "sqlite_errorname", code)
    return LogWriteError(f"{path}: {error} ({name}); stop this process and look at the disk and the file's permissions")
