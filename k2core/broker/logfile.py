"""`LogFile`: one process's hold on the log, shared by its producers, its consumers and the broker."""

from __future__ import annotations

import logging
import os
import pathlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from k2core.broker.database import connect, writing
from k2core.broker.note import NoteSlot
from k2core.broker.settings import EmbeddedSettings
from k2core.clock import Clock
from k2core.errors import TopicChangedError
from k2core.telemetry.metrics import Metrics


class Place:
    """Which file the log's path named when it was opened: who works on another one, or on none, must learn it."""

    def __init__(self) -> None:
        self._file: tuple[int, int] | None = None

    def note(self, path: pathlib.Path) -> None:
        """The path was opened just now."""
        self._file = _identity(path)

    def check(self, path: pathlib.Path) -> None:
        """Nobody put another file, or nothing, in the place of the one that was opened.

        Raises:
            TopicChangedError: Somebody did.
        """
        if self._file is not None and _identity(path) != self._file:
            raise TopicChangedError(
                f"{path}: another file was put in the place of the log while this process had it open; what it did since "
                "is in the old one. Stop every k2 process before a log is moved or restored, then start again"
            )


def _size(path: pathlib.Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _identity(path: pathlib.Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@dataclass(frozen=True, slots=True)
class LogFile:
    """What an opened log is made of.

    Args:
        path: The SQLite file.
        settings: As in `[broker]`.
        clock: Stamps the appends.
        note: Where acknowledged writes are noted.
        logger: For what people should see.
        place: Noted when the log was opened.
        metrics: Appends and what retention removed.
    """

    path: pathlib.Path
    settings: EmbeddedSettings
    clock: Clock
    note: NoteSlot
    logger: logging.Logger
    place: Place = field(default_factory=Place)
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.metrics.collect(self.measure)

    def measure(self) -> None:
        """Set the gauges of its size."""
        wal = self.path.with_name(f"{self.path.name}-wal")
        sizes = [_size(path) for path in (self.path, wal)]
        self.metrics.set("k2_log_size_bytes", sum(sizes))
        self.metrics.set("k2_log_wal_bytes", sizes[1])
        self.metrics.set("k2_log_limit_bytes", self.settings.retention_bytes)

    def reader(self) -> sqlite3.Connection:
        """A connection to read with, for one thread at a time."""
        return self._connect()

    def writer(self) -> sqlite3.Connection:
        """A connection to write with, through `writing`, which does the waiting."""
        return self._connect(to_write=True)

    def _connect(self, *, to_write: bool = False) -> sqlite3.Connection:
        of = self.settings
        return connect(self.path, durability=of.durability, busy_s=of.busy_s, wal_bytes=of.wal_bytes, to_write=to_write)

    @contextmanager
    def writing(self, db: sqlite3.Connection) -> Iterator[None]:
        """One write transaction; waits for the write lock for `busy_s` at most."""
        with writing(db, self.path, self.settings.busy_s):
            yield

    def acknowledge(self, serial: int) -> None:
        """Note a write that is durable. Failing to is no failure of the write: the check at the next start says less.

        Raises:
            TopicChangedError: It went into a file that is no longer the log's.
        """
        self.place.check(self.path)
        try:
            self.note.acknowledge(serial)
        except OSError as error:
            self.logger.warning("the log's note cannot be written path=%s error=%s", self.path, error)
