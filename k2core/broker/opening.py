"""Opening the log: who comes first, alone, proves that nothing acknowledged is missing; only then does SQLite touch it.

Every process that has the log open holds a shared lock on `log.db-lock`; who gets it exclusively is the first, and checks:

    the file is gone or empty, but its note says it held records                LogCorruptError
    the log is behind its note (see `note`)                                      LogCorruptError; after a power cut with
                                                                                 durability "normal": a new epoch
    no note: a bad frame of this write-ahead log with the right salts            LogCorruptError
             the write-ahead log ends within a frame                             a new epoch
    an old note (power cut), durability "normal", not closed in order            a new epoch
                             "full": a bad frame within a transaction, with
                             later transactions behind it                        LogCorruptError
                             "full": the same, but between two transactions
                             (left-overs of killed writers look like that too)   a new epoch
    anything else: a torn tail was never acknowledged, SQLite may drop it        goes on

A new epoch raises the high bits of all offsets given out from then on, so that no offset is ever used twice.
"""

from __future__ import annotations

import fcntl
import logging
import os
import pathlib
import sqlite3
import time
from dataclasses import replace

from k2core.broker.catalog import write_consumers, write_topics
from k2core.broker.database import (
    FORMAT,
    PAGE_SIZE,
    check_layout,
    closed_on_error,
    connect,
    create,
    reading,
    translated,
    writing,
)
from k2core.broker.note import Noted, read_note, reset_note
from k2core.broker.sealed import Pulse, read_pulse, write_pulse
from k2core.broker.segment import WHAT_TO_DO
from k2core.broker.settings import EmbeddedSettings
from k2core.broker.wal import scan
from k2core.errors import ConfigError, LogBusyError, LogCorruptError

_CHECKED = b"checked\n"
_PAUSE_S = 0.005
_FIXED_BYTES = PAGE_SIZE.to_bytes(2, "big") + bytes([2, 2, 0, 64, 32, 32])  # bytes 16 to 23 of the file, for ever


def hold(path: pathlib.Path, settings: EmbeddedSettings, logger: logging.Logger) -> int:
    """Take part in the log: a file descriptor with the shared lock. Whoever is first checks or creates the log.

    Raises:
        LogCorruptError: Something acknowledged is missing.
        LogVersionError: A newer k2 wrote the log.
        LogBusyError: Another process was checking it for longer than `busy_s`.
        ConfigError: The folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(f"{path.name}-lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigError(f"[broker] path = {path}: cannot write there ({error}); choose another folder") from error
    try:
        for _ in range(max(1, int(settings.busy_s / _PAUSE_S))):
            if _try(lock, fcntl.LOCK_EX):
                os.ftruncate(lock, 0)
                _check(path, settings, logger)
                os.pwrite(lock, _CHECKED, 0)
            if _try(lock, fcntl.LOCK_SH) and os.pread(lock, len(_CHECKED), 0) == _CHECKED:
                return lock
            fcntl.flock(lock, fcntl.LOCK_UN)
            time.sleep(_PAUSE_S)
        raise LogBusyError(f"{path}: another process was checking the log for longer than busy_s; try again")
    except BaseException:
        os.close(lock)
        raise


def leave(lock: int, path: pathlib.Path, logger: logging.Logger) -> None:
    """Give the lock back; who leaves last, after SQLite put all in the main file, notes that all was in order."""
    try:
        noted = read_note(path)
        if noted and _try(lock, fcntl.LOCK_EX) and not path.with_name(f"{path.name}-wal").exists():
            reset_note(path, noted.serial, normal=noted.normal, clean=True)
    except OSError as error:  # the next start checks more than it would have to
        logger.warning("the log's note cannot be written path=%s error=%s", path, error)
    finally:
        os.close(lock)


def _try(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check(path: pathlib.Path, settings: EmbeddedSettings, logger: logging.Logger) -> None:
    noted = read_note(path)
    with translated(path):
        if not path.exists() or path.stat().st_size == 0:
            if noted is not None or scan(path.with_name(f"{path.name}-wal")).good:
                raise LogCorruptError(
                    f"{path} is gone or empty, but the files beside it say it held a log; {WHAT_TO_DO}"
                )
            _create(path, settings)
            pulse, epoch = Pulse(serial=1), False
        else:
            pulse = _look(path)
            epoch = _may_have_lost(path, noted, pulse)
        if epoch:
            logger.warning("records of the log may be lost, a new epoch starts path=%s epoch=%d", path, pulse.epoch + 1)
            pulse = _next_epoch(path, settings)
        reset_note(path, pulse.serial, normal=settings.durability == "normal", clean=False)


def _create(path: pathlib.Path, settings: EmbeddedSettings) -> None:
    fresh = path.with_name(f"{path.name}-new")
    for old in path.parent.glob(f"{fresh.name}*"):
        old.unlink()  # of a process that was killed right here
    db = sqlite3.connect(fresh, isolation_level=None)
    try:
        create(db)
        write_pulse(db, Pulse(serial=1))
        write_topics(db, {})
        write_consumers(db, {})
        db.execute("commit")
    finally:
        db.close()
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _look(path: pathlib.Path) -> Pulse:
    """The log's pulse, read without changing a byte of log and write-ahead log."""
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(b"SQLite format 3\0") or header[16:24] != _FIXED_BYTES:
        raise LogCorruptError(
            f"{path}: the first page is damaged, or this is no k2 log of format {FORMAT}; {WHAT_TO_DO}"
        )
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        with reading(db, path):
            check_layout(db, path)
            return read_pulse(db)
    finally:
        db.close()


def _may_have_lost(path: pathlib.Path, noted: Noted | None, pulse: Pulse) -> bool:
    """Whether a new epoch must start. See the table above."""
    power_cut = noted is not None and not noted.same_boot
    if noted and pulse.serial < noted.serial and not (power_cut and noted.normal):
        raise LogCorruptError(
            f"{path}: {noted.serial - pulse.serial} acknowledged writes are missing, the write-ahead log beside it is "
            f"damaged or gone; {WHAT_TO_DO}"
        )
    if noted and noted.same_boot:
        return False
    if power_cut and noted and noted.normal:
        return not noted.clean
    wal = scan(path.with_name(f"{path.name}-wal"))
    broken = wal.commits_after > 0 if noted else wal.own or wal.good_after > 0
    if broken and (wal.within or not noted):
        raise LogCorruptError(f"{path}-wal: frame {wal.good} is damaged, and whole ones follow it; {WHAT_TO_DO}")
    return broken or (noted is None and wal.partial)


def _next_epoch(path: pathlib.Path, settings: EmbeddedSettings) -> Pulse:
    db = connect(path, durability="full", busy_s=settings.busy_s, wal_bytes=settings.wal_bytes, to_write=True)
    with closed_on_error(db), writing(db, path, settings.busy_s):
        pulse = read_pulse(db)
        pulse = replace(pulse, serial=pulse.serial + 1, epoch=pulse.epoch + 1)
        write_pulse(db, pulse)
    db.close()
    return pulse
