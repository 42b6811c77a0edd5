"""The log's small state, one sealed row each: whole with its own CRC32C, or an error.

    key 0           `Pulse`: number of the last write, last append time, log epoch
    key 1           the catalog: topics, subjects, schemas, registered consumers (JSON, see `catalog`)
    key 16 + n      `Tops` of topic n: its segments' range, per partition the next offset and the end of what is gone

The catalog says how many rows there must be, so a row that vanished is noticed like one that changed.
"""

from __future__ import annotations

import sqlite3
import struct
from dataclasses import dataclass, replace

import google_crc32c
import numpy as np
import numpy.typing as npt

from k2core.broker.segment import WHAT_TO_DO
from k2core.errors import LogCorruptError

PULSE, CATALOG, FIRST_TOPS = 0, 1, 16
_PULSE = struct.Struct("<QqQ")
_TOPS = struct.Struct("<QQII")


@dataclass(frozen=True, slots=True)
class Pulse:
    """Of the whole log.

    Args:
        serial: Number of the last write; rises by one with every transaction.
        last_us: No record will ever be appended with a time at or below this, Unix µs.
        epoch: High bits of the offsets given out now.
    """

    serial: int = 0
    last_us: int = 0
    epoch: int = 0

    def after(self, last_us: int | None = None) -> Pulse:
        """The next write's pulse."""
        return replace(self, serial=self.serial + 1, last_us=self.last_us if last_us is None else last_us)


@dataclass(slots=True)
class Tops:
    """Of one topic: segments [first, next) are held.

    Args:
        topic: The topic's number in this file.
        first: Number of the oldest segment held.
        next: Number of the next segment.
        ends: Next offset per partition, int64; 0 where nothing was ever appended.
        gone: Per partition the next offset after the newest removed record, int64; 0 where nothing was removed.
    """

    topic: int
    first: int
    next: int
    ends: npt.NDArray[np.int64]
    gone: npt.NDArray[np.int64]


def read_sealed(db: sqlite3.Connection, key: int) -> bytes:
    """The payload of a sealed row.

    Raises:
        LogCorruptError: It is damaged or not there.
    """
    row = db.execute("select body from state where key = ?", (key,)).fetchone()
    text = row[0] if row else None
    if isinstance(text, bytes) and len(text) >= 4 and text[:4] == _seal(key, text[4:]):
        return text[4:]
    raise LogCorruptError(f"log: its state row {key} is damaged or missing; {WHAT_TO_DO}")


def write_sealed(db: sqlite3.Connection, key: int, payload: bytes) -> None:
    """Put a sealed row in place of the old one."""
    db.execute("insert or replace into state (key, body) values (?, ?)", (key, _seal(key, payload) + payload))


def _seal(key: int, payload: bytes) -> bytes:
    return int(google_crc32c.value(key.to_bytes(8, "little") + payload)).to_bytes(4, "little")


def read_pulse(db: sqlite3.Connection) -> Pulse:
    """The log's pulse."""
    return Pulse(*_PULSE.unpack(read_sealed(db, PULSE)))


def write_pulse(db: sqlite3.Connection, pulse: Pulse) -> None:
    """Replace the pulse."""
    write_sealed(db, PULSE, _PULSE.pack(pulse.serial, pulse.last_us, pulse.epoch))


def read_tops(db: sqlite3.Connection, topic: int) -> Tops:
    """The tops of a topic."""
    text = read_sealed(db, FIRST_TOPS + topic)
    first, after, partitions, of = _TOPS.unpack_from(text)
    if of != topic or len(text) != _TOPS.size + 16 * partitions:
        raise LogCorruptError(f"log: its state row {FIRST_TOPS + topic} is damaged; {WHAT_TO_DO}")
    both = np.frombuffer(text, "<i8", 2 * partitions, _TOPS.size).copy()
    return Tops(topic, first, after, both[:partitions], both[partitions:])


def write_tops(db: sqlite3.Connection, tops: Tops) -> None:
    """Replace the tops of a topic."""
    fixed = _TOPS.pack(tops.first, tops.next, len(tops.ends), tops.topic)
    write_sealed(db, FIRST_TOPS + tops.topic, fixed + tops.ends.tobytes() + tops.gone.tobytes())
