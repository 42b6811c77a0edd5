"""What may go: records beyond the age or the size, once every registered consumer has released them, and some slack."""

from __future__ import annotations

import sqlite3

from k2core.broker import state as rows
from k2core.broker.file import writing
from k2core.broker.releases import Releases
from k2core.broker.settings import EmbeddedSettings
from k2core.clock import Clock

AT_ONCE = 5_000
"""Blocks looked at in one go, so that no append waits long behind a removal."""

Key = tuple[int, int]


class Retention:
    """Removes old blocks, as part of one producer's connection."""

    def __init__(self, db: sqlite3.Connection, settings: EmbeddedSettings, clock: Clock) -> None:
        self._db, self._settings, self._clock = db, settings, clock
        self._next_look = clock.monotonic()

    def used_bytes(self) -> int:
        """Bytes of the file that hold something."""
        pages, free, size = (
            self._db.execute(f"pragma {p}").fetchone()[0] for p in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def due(self, used: int) -> bool:
        """Whether it is time to look."""
        return used >= self._settings.retention_bytes or self._clock.monotonic() >= self._next_look

    def run(self) -> int:
        """Remove what may go, a bounded number of blocks; returns how many went."""
        self._next_look = self._clock.monotonic() + self._settings.retention_interval_s
        with writing(self._db, self._settings.path):
            gone = self._removable()
            if gone:
                self._remove(gone)
        if gone:
            self._db.execute("pragma incremental_vacuum(2000)").fetchall()
        return len(gone)

    def _removable(self) -> list[tuple[int, Key, int]]:
        """(block id, partition, next offset) of what may go: a prefix of each partition."""
        now = self._clock.now_us()
        old = now - int(self._settings.retention_hours * 3_600_000_000)
        excess = self.used_bytes() - int(self._settings.retention_bytes * 0.9)
        released, kept = Releases(self._db, self._settings, self._clock), set()
        found: list[tuple[int, Key, int]] = []
        asked = (
            "select id, topic, part, first + count, at_us, length(sizes) + length(data) from blocks order by id limit ?"
        )
        for number, topic, part, end, at_us, size in self._db.execute(asked, (AT_ONCE,)):
            key = (topic, part)
            if at_us > old and excess <= 0:
                break
            if key in kept or end > released.below(key):
                kept.add(key)
                continue
            found.append((number, key, end))
            excess -= size
        return found

    def _remove(self, gone: list[tuple[int, Key, int]]) -> None:
        self._db.executemany("delete from blocks where id = ?", [(number,) for number, _, _ in gone])
        state = rows.load(self._db)
        below: dict[Key, int] = {}
        for _, key, end in gone:
            below[key] = max(below.get(key, 0), end)
        for (topic, part), end in below.items():
            state.ends[topic, part].below = end
            self._db.execute("delete from marks where topic = ? and part = ? and first < ?", (topic, part, end))
        rows.put_ends(self._db, {key: state.ends[key] for key in below})
