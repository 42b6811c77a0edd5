"""What the log may forget: the oldest segments of a topic, for their age or for the size limit, never an unreleased one.

A segment may go only once every consumer that is registered for its topic released all of it, longer than the slack ago.
A topic that nobody registered for is bounded by age and size alone. Runs within an append's process, in a transaction of
its own; killed in it, nothing was removed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from k2core.broker.catalog import StoredConsumer, read_consumers, read_topics
from k2core.broker.database import used_bytes
from k2core.broker.sealed import Tops, read_tops, write_tops
from k2core.broker.segment import WHAT_TO_DO, Head, read_head, row_id
from k2core.broker.settings import EmbeddedSettings
from k2core.errors import LogCorruptError


@dataclass(slots=True)
class _Lane:
    """A topic with what may go of it."""

    name: str
    tops: Tops
    released: npt.NDArray[np.int64] | None
    removed: int = 0

    def oldest(self, db: sqlite3.Connection) -> Head | None:
        """The head of its oldest segment, if that may go."""
        if self.tops.first == self.tops.next:
            return None
        head = head_of(db, self.tops.topic, self.tops.first, self.name)
        free = self.released is None or bool((head.ends <= self.released).all())
        return head if free else None

    def remove(self, db: sqlite3.Connection, head: Head) -> None:
        """Remove the oldest segment."""
        db.execute("delete from segment where id = ?", (row_id(self.tops.topic, head.number),))
        self.tops.first = head.number + 1
        self.tops.gone = np.where(head.counts > 0, head.ends, self.tops.gone)
        self.removed += 1


class Swept(NamedTuple):
    """What retention did: whether the work was finished, or cut short and more is too old; segments removed."""

    done: bool
    removed: int


def head_of(db: sqlite3.Connection, topic: int, number: int, name: str) -> Head:
    """The head of one segment.

    Raises:
        LogCorruptError: It is damaged or missing.
    """
    row = db.execute("select head from segment where id = ?", (row_id(topic, number),)).fetchone()
    if row is None:
        raise LogCorruptError(f"log: segment {number} of topic {name} is missing; {WHAT_TO_DO}")
    return read_head(row[0], topic, number, name)


def sweep(db: sqlite3.Connection, settings: EmbeddedSettings, now_us: int, need: int) -> Swept:
    """Remove what is too old, then the oldest of what may go until `need` more bytes fit below the size limit.

    Args:
        db: Within a write transaction.
        settings: Age, size and slack.
        now_us: The time, Unix µs.
        need: Bytes that shall fit; 0 leaves the size alone.

    Returns:
        What was done.
    """
    before_us = now_us - int(settings.slack_hours * 3_600e6)
    consumers = read_consumers(db).values()
    lanes = [
        _Lane(topic.name, read_tops(db, topic.number), _released(consumers, topic.number, before_us))
        for topic in read_topics(db).values()
    ]
    oldest_us = now_us - int(settings.retention_hours * 3_600e6)
    done = sum(not _by_age(db, lane, oldest_us, settings) for lane in lanes) == 0
    if need:
        _by_size(db, lanes, settings.retention_bytes - need)
    for lane in lanes:
        if lane.removed:
            write_tops(db, lane.tops)
    return Swept(done, sum(lane.removed for lane in lanes))


def _released(consumers: Iterable[StoredConsumer], topic: int, before_us: int) -> npt.NDArray[np.int64] | None:
    each = [consumer.released(topic, before_us) for consumer in consumers]
    held = [offsets for offsets in each if offsets is not None]
    return reduce(np.minimum, held) if held else None


def _by_age(db: sqlite3.Connection, lane: _Lane, oldest_us: int, settings: EmbeddedSettings) -> bool:
    while (head := lane.oldest(db)) is not None and head.timestamp_us <= oldest_us:
        if lane.removed >= settings.sweep_segments:
            return False
        lane.remove(db, head)
    return True


def _by_size(db: sqlite3.Connection, lanes: list[_Lane], below: int) -> None:
    while used_bytes(db) > below:
        heads = [(head, lane) for lane in lanes if (head := lane.oldest(db)) is not None]
        if not heads:
            return
        head, lane = min(heads, key=lambda pair: pair[0].timestamp_us)
        lane.remove(db, head)
