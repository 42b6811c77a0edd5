"""The log's small tables, each row under a CRC32C: topics, ends, facts. Read again only when another process committed."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field

from k2core.broker.file import ADVICE
from k2core.errors import LogCorruptError

EPOCH_BITS = 40


def crc(*values: object) -> int:
    """CRC32C over values as text; bytes as they are."""
    import google_crc32c

    found = 0
    for value in values:
        found = google_crc32c.extend(found, value if isinstance(value, bytes) else repr(value).encode())
    return int(found)


@dataclass(frozen=True, slots=True)
class StoredTopic:
    """A topic as the file has it."""

    number: int
    name: str
    id: str
    partitions: int
    subject: str
    schemas: tuple[str, ...]


@dataclass(slots=True)
class End:
    """One partition: its next offset, and the offset below which retention removed everything."""

    next: int
    below: int


@dataclass(slots=True)
class State:
    """What the small tables say."""

    topics: dict[str, StoredTopic] = field(default_factory=dict)
    ends: dict[tuple[int, int], End] = field(default_factory=dict)
    facts: dict[str, int] = field(default_factory=dict)

    @property
    def floor_us(self) -> int:
        """No record will be appended with a time at or below this."""
        return self.facts.get("floor_us", 0)

    @property
    def last_us(self) -> int:
        """Append time of the newest record."""
        return self.facts.get("last_us", 0)

    @property
    def base(self) -> int:
        """First offset of the present epoch."""
        return self.facts.get("epoch", 0) << EPOCH_BITS


def load(db: sqlite3.Connection) -> State:
    """Read and verify every row.

    Raises:
        LogCorruptError: One is not what was written.
    """
    state = State()
    for number, name, own, partitions, subject, schemas, sum_ in db.execute("select * from topics"):
        _verify(f"topic {name}", sum_, number, name, own, partitions, subject, schemas)
        state.topics[name] = StoredTopic(number, name, own, partitions, subject, tuple(json.loads(schemas)))
    for topic, part, next_, below, sum_ in db.execute("select * from ends"):
        _verify(f"the end of partition {part}", sum_, topic, part, next_, below)
        state.ends[topic, part] = End(next_, below)
    for key, value, sum_ in db.execute("select * from facts"):
        _verify(f"fact {key}", sum_, key, value)
        state.facts[key] = value
    return state


def put_topic(db: sqlite3.Connection, topic: StoredTopic) -> None:
    """Write a topic's row."""
    row = (topic.number, topic.name, topic.id, topic.partitions, topic.subject, json.dumps(topic.schemas))
    db.execute("insert or replace into topics values (?, ?, ?, ?, ?, ?, ?)", (*row, crc(*row)))


def put_ends(db: sqlite3.Connection, ends: dict[tuple[int, int], End]) -> None:
    """Write partitions' ends."""
    rows = [(topic, part, end.next, end.below) for (topic, part), end in ends.items()]
    db.executemany("insert or replace into ends values (?, ?, ?, ?, ?)", [(*r, crc(*r)) for r in rows])


def put_fact(db: sqlite3.Connection, key: str, value: int) -> None:
    """Write one fact."""
    db.execute("insert or replace into facts values (?, ?, ?)", (key, value, crc(key, value)))


def _verify(what: str, stored: int, *values: object) -> None:
    if stored != crc(*values):
        raise LogCorruptError(f"{what} in the log is not what was written: {ADVICE}")


class Cached:
    """The state as of the newest commit of anybody, for one connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db, self._version, self._state = db, -1, State()

    def version(self) -> int:
        """Changes whenever another connection committed."""
        return int(self._db.execute("pragma data_version").fetchone()[0])

    def get(self) -> State:
        """The state; own commits must be applied to it by whoever made them."""
        now = self.version()
        if now != self._version:
            self._state, self._version = load(self._db), now
        return self._state

    def forget(self) -> None:
        """Read again next time: an own transaction was rolled back."""
        self._version = -1
