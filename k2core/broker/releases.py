"""What registered consumers no longer need. A release counts for retention once it is older than the slack.

A row keeps three offsets: `latest` as released, `pending` as of `pending_us`, and `settled`, which was pending for longer
than the slack. So what counts lags behind by one to two slacks, and a row is all that it takes.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict

from k2core.broker.settings import EmbeddedSettings
from k2core.broker.state import crc
from k2core.clock import Clock
from k2core.errors import LogCorruptError

NOBODY = 1 << 62
REGISTERED = -1

Key = tuple[int, int]


class Releases:
    """The consumers' rows, read once."""

    def __init__(self, db: sqlite3.Connection, settings: EmbeddedSettings, clock: Clock) -> None:
        self._db, self._slack_us, self._now = db, int(settings.slack_hours * 3_600_000_000), clock.now_us()
        self._rows: dict[tuple[str, int, int], tuple[int, int, int, int]] = {}
        self._names: dict[int, set[str]] = defaultdict(set)
        for name, topic, part, *offsets, sum_ in db.execute("select * from consumers"):
            if crc(name, topic, part, *offsets) != sum_:
                raise LogCorruptError(f"the log's row of consumer {name} is not what was written")
            self._rows[name, topic, part] = tuple(offsets)
            self._names[topic].add(name)

    def below(self, key: Key) -> int:
        """The offset below which no registered consumer needs a partition; without any, everything."""
        topic, part = key
        return min((self._settled(self._rows.get((n, topic, part))) for n in self._names[topic]), default=NOBODY)

    def register(self, name: str, topic: int) -> None:
        """Make a consumer known to a topic."""
        if (name, topic, REGISTERED) not in self._rows:
            self._put((name, topic, REGISTERED), (0, 0, 0, 0))

    def release(self, name: str, key: Key, offset: int) -> None:
        """Note a release; never goes down."""
        place = (name, *key)
        settled, pending, pending_us, latest = self._rows.get(place, (0, 0, self._now, 0))
        latest = max(latest, offset)
        if self._now - pending_us >= self._slack_us:
            settled, pending, pending_us = pending, latest, self._now
        self._put(place, (settled, pending, pending_us, latest))

    def _settled(self, row: tuple[int, int, int, int] | None) -> int:
        if row is None:
            return 0
        settled, pending, pending_us, _ = row
        return pending if self._now - pending_us >= self._slack_us else settled

    def _put(self, place: tuple[str, int, int], offsets: tuple[int, int, int, int]) -> None:
        self._rows[place] = offsets
        row = (*place, *offsets)
        self._db.execute("insert or replace into consumers values (?, ?, ?, ?, ?, ?, ?, ?)", (*row, crc(*row)))
