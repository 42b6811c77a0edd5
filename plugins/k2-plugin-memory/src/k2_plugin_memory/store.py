"""`MemoryStore`: a rolling window of committed identities in the writer's own memory, exact at every age.

It dies with its process and is rebuilt from the table: after `kill -9`, a takeover, a rollback. What left the window
is remembered as a mark, and asked of the table.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from k2_plugin_memory.owned import Owned
from k2_plugin_memory.settings import MemorySettings
from k2core.plugin import (
    Clock,
    DedupError,
    DedupStore,
    IdentityBatch,
    K2Error,
    Metrics,
    Partition,
    StoredIdentities,
    Topic,
)

SLOTS = 8
"""The window is forgotten in steps of an eighth of its length."""


class MemoryStore(DedupStore):
    """Dedup for one data type and one writer.

    Args:
        settings: Length and size of the window.
        clock: The time, which decides only how much of the table is loaded.
        metrics: Where the number of entries is told.
    """

    def __init__(self, settings: MemorySettings, clock: Clock, metrics: Metrics | None = None) -> None:
        self._settings, self._clock, self._metrics = settings, clock, metrics or Metrics()
        self._window = int(settings.window_minutes * 60_000_000)
        self._span = max(1, self._window // SLOTS)
        self._owned: dict[Partition, Owned] = {}
        self._tables: dict[Partition, StoredIdentities] = {}

    @property
    def entries(self) -> int:
        """Entries held, of 8 to 16 bytes each."""
        return sum(owned.entries for owned in self._owned.values())

    def assign(self, partition: Partition, offset: int, table: StoredIdentities) -> None:
        """Build a partition's window from the table, whatever was known of it before."""
        since = self._clock.now_us() - self._window
        owned = Owned(offset, dict(table.marks(partition, since)), self._span)
        for batch in table.load(partition, since):
            owned.load(batch)
        self._owned[partition], self._tables[partition] = owned, table

    def revoke(self, partition: Partition) -> None:
        """Drop all that is known of a partition."""
        self._owned.pop(partition, None)
        self._tables.pop(partition, None)

    def claim(self, batch: IdentityBatch) -> npt.NDArray[np.bool_]:
        """Which records are new (bool[n])."""
        owned, table = self._of(batch.partition), self._tables[batch.partition]
        try:
            return owned.claim(batch, table.contains)
        except DedupError:
            raise
        except K2Error as error:
            raise DedupError(f"{_name(batch.partition)}: the table cannot be asked for old ids: {error}") from error

    def settle(self, partition: Partition, first_offset: int, next_offset: int) -> None:
        """What was claimed at these offsets is stored."""
        self._of(partition).settle(first_offset, next_offset)

    def abandon(self, partition: Partition, first_offset: int) -> None:
        """What was claimed from this offset on is not stored."""
        if partition in self._owned:
            self._owned[partition].abandon(first_offset)

    def evict(self, now_us: int) -> None:
        """Forget what left the window, and the oldest where more is held than `max_ids`."""
        self._forget((now_us - self._window) // self._span)
        while self.entries > self._settings.max_ids:
            oldest = min(s for owned in self._owned.values() if (s := owned.oldest) is not None)
            self._forget(oldest + 1)
        for data_type in {Topic.parse(topic).data_type for topic, _ in self._owned}:
            self._metrics.set("k2_dedup_window_entries", self.entries, data_type=data_type)

    def _forget(self, before_slot: int) -> None:
        for owned in self._owned.values():
            owned.forget(before_slot)

    def _of(self, partition: Partition) -> Owned:
        if partition not in self._owned:
            raise DedupError(f"{_name(partition)} was not assigned to this store")
        return self._owned[partition]


def _name(partition: Partition) -> str:
    return f"{partition[0]}/{partition[1]}"
