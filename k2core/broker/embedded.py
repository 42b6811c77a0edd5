"""`EmbeddedBroker`: the log as one SQLite file, for one machine and any number of its processes."""

from __future__ import annotations

import logging
import sqlite3
import threading
import uuid
from collections.abc import Mapping, Sequence

from k2core.broker import state as rows
from k2core.broker.consumer import EmbeddedConsumer
from k2core.broker.file import Lock, connect, open_file, translated, writing
from k2core.broker.producer import EmbeddedProducer
from k2core.broker.releases import Releases
from k2core.broker.settings import EmbeddedSettings
from k2core.clock import Clock
from k2core.errors import LogCorruptError, SchemaError, TopicChangedError
from k2core.interfaces.broker import Broker, Consumer, Offsets, Partition, Producer, TopicInfo, TopicSpec

log = logging.getLogger("k2.broker.embedded")
CLOSE_STEP_US = 5_000
"""`closed_until` promises a new time only when that is so much later: a promise costs a transaction."""


class EmbeddedBroker(Broker):
    """The embedded log.

    Args:
        settings: `[broker]`.
        clock: Append times, ages.

    Raises:
        LogCorruptError: Acknowledged records are gone for certain.
        LogVersionError: A newer k2 wrote the file.
    """

    def __init__(self, settings: EmbeddedSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._lock = Lock(settings.path)
        self._mutex = threading.RLock()
        doubtful = open_file(settings, self._lock)
        self._db = connect(settings)
        self._cached = rows.Cached(self._db)
        if doubtful:
            self._start_epoch()

    def _start_epoch(self) -> None:
        with self._write() as state:
            epoch = max(state.facts.get("epoch", 0), _epoch_of(state)) + 1
            rows.put_fact(self._db, "epoch", epoch)
        log.warning(
            "the log's last append may be lost (power cut, or a damaged file): offsets go on in epoch %d", epoch
        )

    def _write(self) -> _Writing:
        return _Writing(self._mutex, self._db, self._cached, self._settings)

    def _state(self) -> rows.State:
        with self._mutex, translated(self._settings.path):
            return self._cached.get()

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create what is missing, register newer schemas of a lineage."""
        state = self._state()
        if all((t := state.topics.get(s.name)) and self._checked(t, s).schemas == s.schemas for s in specs):
            return
        with self._write() as state:
            number = max((t.number for t in state.topics.values()), default=0)
            for spec in specs:
                there = state.topics.get(spec.name)
                number += there is None
                made = rows.StoredTopic(
                    number, spec.name, uuid.uuid4().hex, spec.partitions, spec.subject, spec.schemas
                )
                if there is not None:
                    old = self._checked(there, spec)
                    newest = max(old.schemas, spec.schemas, key=len)
                    made = rows.StoredTopic(old.number, old.name, old.id, old.partitions, old.subject, newest)
                rows.put_topic(self._db, made)

    def _checked(self, there: rows.StoredTopic, spec: TopicSpec) -> rows.StoredTopic:
        if there.partitions != spec.partitions:
            raise TopicChangedError(
                f"topic {spec.name} has {there.partitions} partitions in the log {self._settings.path}, not "
                f"{spec.partitions}: its records lie by that number; use it, or start a new log"
            )
        both = min(len(there.schemas), len(spec.schemas))
        if there.schemas[:both] != spec.schemas[:both]:
            raise SchemaError(
                f"the schemas of {spec.subject} in the log are not the ones of this k2: a lineage only grows"
            )
        return there

    def topics(self) -> Mapping[str, TopicInfo]:
        """Every topic by name."""
        return {t.name: TopicInfo(t.name, t.id, t.partitions) for t in self._state().topics.values()}

    def producer(self) -> Producer:
        """A new producer."""
        return EmbeddedProducer(self._settings, self._clock)

    def consumer(self, topics: Sequence[str]) -> Consumer:
        """A new consumer."""
        return EmbeddedConsumer(self._settings, topics)

    def register(self, name: str, topics: Sequence[str]) -> None:
        """Make a named consumer known."""
        with self._write() as state:
            known = Releases(self._db, self._settings, self._clock)
            for topic in topics:
                if topic in state.topics:
                    known.register(name, state.topics[topic].number)

    def release(self, name: str, offsets: Offsets) -> None:
        """A registered consumer needs nothing below these offsets any more."""
        if not offsets:
            return
        with self._write() as state:
            known = Releases(self._db, self._settings, self._clock)
            for (topic, part), offset in offsets.items():
                if topic in state.topics:
                    known.release(name, (state.topics[topic].number, part), offset)

    def ends(self, topics: Sequence[str]) -> dict[Partition, int]:
        """Next offset of every partition that has ever had a record."""
        return {place: end.next for place, end in self._ends(topics)}

    def starts(self, topics: Sequence[str]) -> dict[Partition, int]:
        """First offset still held, of every partition that has ever had a record."""
        return {place: end.below for place, end in self._ends(topics)}

    def _ends(self, topics: Sequence[str]) -> list[tuple[Partition, rows.End]]:
        state = self._state()
        names = {t.number: t.name for t in state.topics.values() if t.name in topics}
        return [((names[topic], part), end) for (topic, part), end in state.ends.items() if topic in names]

    def closed_until(self, topics: Sequence[str]) -> int:
        """A time at or below which nothing will be appended any more: promised in the file, kept by every producer."""
        wanted = self._clock.now_us() - 1
        state = self._state()
        if state.floor_us < wanted - CLOSE_STEP_US:
            with self._write() as state:
                if state.floor_us < wanted:
                    rows.put_fact(self._db, "floor_us", wanted)
        return max(self._state().floor_us, 0)

    def close(self) -> None:
        """Close the file."""
        self._db.close()
        self._lock.close()


class _Writing:
    """A write transaction of the broker's own connection; yields the state as of its start."""

    def __init__(
        self, mutex: threading.RLock, db: sqlite3.Connection, cached: rows.Cached, settings: EmbeddedSettings
    ) -> None:
        self._mutex, self._cached, self._inner = mutex, cached, writing(db, settings.path)

    def __enter__(self) -> rows.State:
        self._mutex.acquire()
        try:
            self._inner.__enter__()
            self._cached.forget()
            return self._cached.get()
        except BaseException:
            self._mutex.release()
            raise

    def __exit__(self, *error: object) -> None:
        try:
            self._inner.__exit__(*error)  # type: ignore[arg-type]
        finally:
            self._cached.forget()
            self._mutex.release()


def _epoch_of(state: rows.State) -> int:
    """The highest epoch in use by any offset."""
    highest = max((end.next for end in state.ends.values()), default=0)
    if highest >> 62:
        raise LogCorruptError("an offset in the log is beyond the last epoch")
    return highest >> rows.EPOCH_BITS
