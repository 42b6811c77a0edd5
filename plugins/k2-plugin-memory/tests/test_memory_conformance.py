"""The in-memory store keeps every MUST of a dedup store."""

from __future__ import annotations

from pathlib import Path

from k2_plugin_memory.settings import MemorySettings
from k2_plugin_memory.store import MemoryStore

from k2core.plugin import Clock, DedupStore
from k2core.testing import DedupStoreSuite


class TestMemoryStore(DedupStoreSuite):
    window_s = 3600

    def open(self, place: Path, clock: Clock) -> DedupStore:
        return MemoryStore(MemorySettings(window_minutes=60), clock)


class TestSmallMemoryStore(DedupStoreSuite):
    """So little is held that nearly all is asked of the table: not an answer may differ."""

    window_s = 60

    def open(self, place: Path, clock: Clock) -> DedupStore:
        return MemoryStore(MemorySettings(window_minutes=1, max_ids=6000), clock)
