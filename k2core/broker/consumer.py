"""Reads the embedded log: topic by topic in order of segments, every byte proved before it is handed on.

Segment numbers have no holes, so a row that vanished is noticed as well as one that changed. What lies before the damage
is handed out; the next poll raises. A consumer holds no transaction between polls: it never keeps the write-ahead log
from being emptied.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence

from k2core.broker.catalog import StoredTopic
from k2core.broker.database import reading, translated
from k2core.broker.logfile import LogFile
from k2core.broker.retention import head_of
from k2core.broker.sealed import Tops, read_pulse, read_tops
from k2core.broker.segment import WHAT_TO_DO, blocks, check_body, read_head, row_id
from k2core.broker.spans import EPOCH_SHIFT
from k2core.errors import BrokerError, LogCorruptError, OffsetGoneError
from k2core.interfaces.broker import Consumer, LogBlock, Offsets

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.002, 0.005


class _Lane:
    """One topic: the next offsets, and the segment that holds the first of them."""

    def __init__(self, topic: StoredTopic) -> None:
        self.topic = topic
        self.at = [0] * topic.partitions
        self.number: int | None = None

    def locate(self, db: sqlite3.Connection, tops: Tops) -> int:
        """The segment to go on with.

        Raises:
            OffsetGoneError: Retention removed what is asked for, or it never was.
        """
        if self.number is not None and self.number >= tops.first:
            return self.number
        gone = [p for p, offset in enumerate(self.at) if offset < tops.gone[p]]
        if gone:
            raise OffsetGoneError(
                f"log: retention removed {self.topic.name} partition {gone[0]} offset {self.at[gone[0]]}; what is held "
                f"starts at {tops.gone[gone[0]]}: what lies between has to be fetched from the exchange again"
            )
        if self.number is None:
            self._refuse_unknown(read_pulse(db).epoch, tops)
            self.number = self._search(db, tops)
        self.number = max(self.number, tops.first)
        return self.number

    def _refuse_unknown(self, epoch: int, tops: Tops) -> None:
        for partition, offset in enumerate(self.at):
            if offset > tops.ends[partition] and offset >> EPOCH_SHIFT >= epoch:
                raise OffsetGoneError(
                    f"log: {self.topic.name} partition {partition} ends at {tops.ends[partition]}, offset {offset} was "
                    "never given out: this is another log, or an older copy of it; put the right one in its place"
                )

    def _search(self, db: sqlite3.Connection, tops: Tops) -> int:
        """First segment with a record at or above the positions: ends never fall, so halving finds it."""
        low, high = tops.first, tops.next
        while low < high:
            middle = (low + high) // 2
            if (head_of(db, self.topic.number, middle, self.topic.name).ends > self.at).any():
                high = middle
            else:
                low = middle + 1
        return low

    def read(self, db: sqlite3.Connection, tops: Tops, found: list[LogBlock], max_records: int) -> int:
        """Add blocks to `found` until it holds `max_records`; the number of records added."""
        number, topic, added = self.locate(db, tops), self.topic, 0
        rows = db.execute(
            "select id, head, sizes, data from segment where id >= ? and id < ? order by id",
            (row_id(topic.number, number), row_id(topic.number, tops.next)),
        )
        while number < tops.next and added < max_records:
            row = rows.fetchone()
            if row is None or row[0] != row_id(topic.number, number):
                raise LogCorruptError(f"log: segment {number} of topic {topic.name} is missing; {WHAT_TO_DO}")
            head = read_head(row[1], topic.number, number, topic.name)
            sizes = check_body(head, row[2], row[3], topic.name)
            for block in blocks(head, sizes, row[3], topic.name, self.at):
                found.append(block)
                added += len(block)
                if added >= max_records:
                    break  # the rest of this segment comes with the next poll
            else:
                self.number = number = number + 1
        return added


class EmbeddedConsumer(Consumer):
    """Reads all partitions of some topics on a connection of its own."""

    def __init__(self, file: LogFile, topics: Sequence[StoredTopic]) -> None:
        self._file = file
        self._db = file.reader()
        self._lanes = {topic.name: _Lane(topic) for topic in topics}
        self._turn = list(self._lanes)
        self._damage: BrokerError | None = None
        self._version = -1

    def poll(self, max_records: int, timeout: float) -> Sequence[LogBlock]:
        """The next blocks. Waits by looking every few milliseconds whether anybody committed."""
        found = self._read(max_records)
        waited, pause = 0.0, FIRST_PAUSE_S
        while not found and waited < timeout:
            pause = min(pause, timeout - waited)
            time.sleep(pause)
            waited += pause
            pause = min(pause * 1.25, LONGEST_PAUSE_S)
            if self._data_version() != self._version:
                found = self._read(max_records)
        return found

    def _data_version(self) -> int:
        with translated(self._file.path):
            return int(self._db.execute("pragma data_version").fetchone()[0])

    def _read(self, max_records: int) -> list[LogBlock]:
        if self._damage is not None:
            raise self._damage
        self._file.place.check(self._file.path)
        self._version = self._data_version()
        found: list[LogBlock] = []
        added = 0
        try:
            with reading(self._db, self._file.path):
                for name in list(self._turn):
                    if added >= max_records:
                        break
                    lane = self._lanes[name]
                    added += lane.read(self._db, read_tops(self._db, lane.topic.number), found, max_records - added)
                    self._turn = [*self._turn[1:], name]  # the next poll begins with another topic
        except (LogCorruptError, OffsetGoneError) as error:
            if not found:
                raise
            self._damage = error  # what was read is whole and its positions have moved on: hand it out first
        return found

    def seek(self, offsets: Offsets) -> None:
        """Read on from these next offsets; topics that this consumer does not read are passed over."""
        self._damage = None
        for (name, partition), offset in offsets.items():
            lane = self._lanes.get(name)
            if lane is None:
                continue
            if not 0 <= partition < lane.topic.partitions or offset < 0:
                raise BrokerError(f"log: topic {name} has no partition {partition} with an offset {offset}")
            lane.at[partition], lane.number = int(offset), None

    def positions(self) -> Offsets:
        """Next offset of every partition."""
        return {(name, p): offset for name, lane in self._lanes.items() for p, offset in enumerate(lane.at)}

    def close(self) -> None:
        """Close the connection."""
        self._db.close()
