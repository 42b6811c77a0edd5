"""The embedded log: one SQLite file that several processes write and read at once, without a server.

    log.db         state     sealed rows: pulse, topics, consumers, tops of each topic          (`sealed`, `catalog`)
                   segment   one row a topic and append: head, sizes, data, each with CRC32C    (`segment`)
    log.db-wal     SQLite's write-ahead log: appends go here, synced, and later into log.db     (`wal`)
    log.db-shm     SQLite's index of it, made anew by whoever opens the log first
    log.db-lock    held shared by everyone who has the log open, exclusively for the check      (`opening`)
    log.db-note    the newest acknowledged write of each process                                (`note`)

    offset  =  epoch << 40 | n         n rises by one; a recovery that may have lost records raises the epoch
    append time  =  max(last + 1, now), taken inside the write lock: rises over the whole log

Faults survived: `kill -9` of anybody at any time; a power cut (durability "full": nothing acknowledged is lost; "normal":
the newest may be, no offset is used twice); a torn tail; a full disk and the size limit (`LogFullError`, goes on when
space returns). Faults detected, never passed on: flipped bits, vanished rows, a write-ahead log that is damaged, cut or
gone (`LogCorruptError`); a disk that fails to sync (`LogWriteError`: the process must stop).
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Self, TypeVar

import numpy as np

from k2core.broker.catalog import (
    Mark,
    StoredConsumer,
    StoredTopic,
    changes,
    read_consumers,
    read_topics,
    with_topics,
    write_consumers,
    write_topics,
)
from k2core.broker.consumer import EmbeddedConsumer
from k2core.broker.database import check_layout, closed_on_error, reading, translated
from k2core.broker.logfile import LogFile
from k2core.broker.note import NoteSlot, read_note
from k2core.broker.opening import hold, leave
from k2core.broker.producer import EmbeddedProducer
from k2core.broker.sealed import Tops, read_pulse, read_tops, write_pulse, write_tops
from k2core.broker.segment import WHAT_TO_DO
from k2core.broker.settings import EmbeddedSettings
from k2core.clock import Clock
from k2core.errors import BrokerError, LogCorruptError
from k2core.interfaces.broker import (
    Broker,
    Consumer,
    ConsumerInfo,
    Offsets,
    Partition,
    Producer,
    TopicChange,
    TopicInfo,
    TopicSpec,
)
from k2core.telemetry.metrics import Metrics

T = TypeVar("T")


class EmbeddedBroker(Broker):
    """The log in one file. Making it does no I/O; entering it, or its first use, opens the file.

    Args:
        settings: As in `[broker]`; the folder of its `path` is made.
        clock: Stamps the appends.
        logger, metrics: Get a warning when a new epoch starts; appends, removals and sizes.

    Raises (when it is opened):
        LogCorruptError: Something acknowledged is missing, or the file is damaged.
        LogVersionError: A newer k2 wrote it.
        LogBusyError: Another process is checking it.
        ConfigError: The folder cannot be written.
    """

    def __init__(
        self,
        settings: EmbeddedSettings,
        clock: Clock,
        logger: logging.Logger | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        note = NoteSlot(settings.path, normal=settings.durability == "normal")
        logger = logger or logging.getLogger("k2.broker")
        self._file = LogFile(settings.path, settings, clock, note, logger, metrics=metrics or Metrics())
        self._opening, self._reading, self._writing = threading.Lock(), threading.Lock(), threading.Lock()
        self._lock: int | None = None
        self._closed = False
        self._users: weakref.WeakSet[Producer | Consumer] = weakref.WeakSet()

    def __enter__(self) -> Self:
        self._open()
        return self

    def _open(self) -> None:
        with self._opening:
            if self._closed:
                raise BrokerError(f"{self._file.path}: this broker was closed; make another")
            if self._lock is not None:
                return
            lock = hold(self._file.path, self._file.settings, self._file.logger)
            try:
                self._file.place.note(self._file.path)
                self._reads = self._file.reader()
                with closed_on_error(self._reads):
                    self._check()
                    self._writes = self._file.writer()
            except BaseException:
                os.close(lock)
                raise
            self._lock = lock

    def _check(self) -> None:
        """What holds whenever anybody opens the log, also beside others: it is not behind its note."""
        path, noted = self._file.path, read_note(self._file.path)
        with reading(self._reads, path):
            check_layout(self._reads, path)
            serial = read_pulse(self._reads).serial
        if noted and serial < noted.serial:
            raise LogCorruptError(f"{path}: {noted.serial - serial} acknowledged writes are missing; {WHAT_TO_DO}")

    def _read(self, look: Callable[[sqlite3.Connection], T]) -> T:
        self._open()
        self._file.place.check(self._file.path)
        with self._reading, reading(self._reads, self._file.path):
            return look(self._reads)

    def _write(self, change: Callable[[sqlite3.Connection], None], *, noted: bool) -> None:
        """One write. What is not noted may be lost in a power cut: losing it only keeps more, or asks again."""
        self._open()
        file, db = self._file, self._writes
        with self._writing:
            with translated(file.path):
                file.note.reserve()
                db.execute(f"pragma synchronous = {file.settings.durability if noted else 'normal'}")
            with file.writing(db):
                pulse = read_pulse(db).after() if noted else None
                if pulse:
                    write_pulse(db, pulse)
                change(db)
            if pulse:
                file.acknowledge(pulse.serial)

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create what is missing, register newer schemas of a lineage."""
        if self._read(lambda db: with_topics(read_topics(db), specs))[1]:
            self._write(lambda db: _store_topics(db, specs), noted=True)

    def plan(self, specs: Sequence[TopicSpec]) -> Sequence[TopicChange]:
        """What `ensure_topics` would do."""
        held = self._read(read_topics)
        return [change for spec in specs for change in changes(spec, held.get(spec.name))]

    def topics(self) -> Mapping[str, TopicInfo]:
        """Every topic by name."""
        return {name: topic.info for name, topic in self._read(read_topics).items()}

    def producer(self) -> Producer:
        """A new producer, on a connection of its own."""
        self._open()
        self._users.add(made := EmbeddedProducer(self._file))
        return made

    def consumer(self, topics: Sequence[str]) -> Consumer:
        """A new consumer of all partitions of `topics`, on a connection of its own, positioned at 0."""
        self._users.add(made := EmbeddedConsumer(self._file, self._named(topics)))
        return made

    def _named(self, topics: Sequence[str]) -> list[StoredTopic]:
        held = self._read(read_topics)
        if missing := sorted(set(topics) - set(held)):
            raise BrokerError(f"{self._file.path}: no topic {', '.join(missing)} in this log; call ensure_topics first")
        return [held[name] for name in dict.fromkeys(topics)]

    def register(self, name: str, topics: Sequence[str]) -> None:
        """Make a named consumer known: retention keeps what it has not released."""
        wanted = self._named(topics)
        known = self._read(read_consumers).get(name)
        if known is None or any(topic.number not in known.marks[-1].offsets for topic in wanted):
            self._write(lambda db: _register(db, name, wanted), noted=True)

    def consumers(self) -> Mapping[str, ConsumerInfo]:
        """Every registered consumer by name."""

        def look(db: sqlite3.Connection) -> dict[str, ConsumerInfo]:
            topics = list(read_topics(db).values())
            return {name: consumer.info(name, topics) for name, consumer in read_consumers(db).items()}

        return self._read(look)

    def unregister(self, name: str) -> None:
        """Forget a consumer: retention waits for it no longer."""

        def change(db: sqlite3.Connection) -> None:
            consumers = read_consumers(db)
            if consumers.pop(name, None) is None:
                raise BrokerError(f"{self._file.path}: there is no consumer {name!r}")
            write_consumers(db, consumers)

        self._write(change, noted=True)

    def exists(self) -> bool:
        """Whether there is a log, or files that say there was one."""
        path = self._file.path
        return any(path.with_name(path.name + end).exists() for end in ("", "-wal", "-note"))

    def release(self, name: str, offsets: Offsets) -> None:
        """A registered consumer needs nothing below these next offsets; topics it is not registered for are ignored."""
        now_us, slack_us = self._file.clock.now_us(), int(self._file.settings.slack_hours * 3_600e6)

        def change(db: sqlite3.Connection) -> None:
            consumers = read_consumers(db)
            if name not in consumers:
                raise BrokerError(f"{self._file.path}: no consumer {name} is registered; call register first")
            if consumers[name].release(offsets, read_topics(db), now_us, slack_us):
                write_consumers(db, consumers)

        self._write(change, noted=False)

    def ends(self, topics: Sequence[str]) -> dict[Partition, int]:
        """Next offset of every partition that has ever had a record."""
        return {(name, p): end for name, tops in self._tops(topics) for p, end in enumerate(tops.ends.tolist()) if end}

    def starts(self, topics: Sequence[str]) -> dict[Partition, int]:
        """Where a consumer may begin: what retention removed lies below it, the first record held at or above it."""
        found = self._tops(topics)
        return {(name, p): int(tops.gone[p]) for name, tops in found for p, end in enumerate(tops.ends.tolist()) if end}

    def _tops(self, topics: Sequence[str]) -> list[tuple[str, Tops]]:
        def look(db: sqlite3.Connection) -> list[tuple[str, Tops]]:
            held = read_topics(db)
            return [(name, read_tops(db, held[name].number)) for name in dict.fromkeys(topics) if name in held]

        return self._read(look)

    def closed_until(self, topics: Sequence[str]) -> int:
        """A time T, Unix µs: nothing will ever be appended, to any topic, at or below it.

        Appends are stamped above all earlier ones, so the last stamp is closed; on a quiet log this moves it on.
        """
        settings = self._file.settings
        wanted = self._file.clock.now_us() - settings.closed_margin_us
        last_us = self._read(read_pulse).last_us
        if wanted - last_us <= settings.closed_step_us:
            return last_us
        closed: list[int] = []

        def change(db: sqlite3.Connection) -> None:
            pulse = read_pulse(db)
            closed.append(max(pulse.last_us, wanted))
            write_pulse(db, replace(pulse, last_us=closed[0]))

        self._write(change, noted=False)
        return closed[0]

    def close(self) -> None:
        """Close every connection made here; who leaves the log last puts all of it into the main file."""
        with self._opening:
            self._closed = True
            if self._lock is None:
                return
            for user in list(self._users):
                user.close()
            self._writes.close()
            self._reads.close()
            self._file.note.close()
            leave(self._lock, self._file.path, self._file.logger)
            self._lock = None


def _store_topics(db: sqlite3.Connection, specs: Sequence[TopicSpec]) -> None:
    held = read_topics(db)
    after, changed = with_topics(held, specs)
    for topic in (after[name] for name in changed if name not in held):
        none = np.zeros(topic.partitions, np.int64)
        write_tops(db, Tops(topic.number, 0, 0, none, none))
    write_topics(db, after)


def _register(db: sqlite3.Connection, name: str, topics: Sequence[StoredTopic]) -> None:
    consumers = read_consumers(db)
    consumer = consumers.setdefault(name, StoredConsumer([Mark(0, {})]))
    for topic in topics:
        consumer.add_topic(topic)
    write_consumers(db, consumers)
