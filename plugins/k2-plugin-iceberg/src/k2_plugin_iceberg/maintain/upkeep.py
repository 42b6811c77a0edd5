"""One run of maintenance: expire, compact, sweep."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from k2_plugin_iceberg.keep import retained
from k2_plugin_iceberg.maintain.compact import Compaction
from k2_plugin_iceberg.maintain.sweep import Sweep
from k2core.plugin import Clock, MaintenanceReport

if TYPE_CHECKING:
    from k2_plugin_iceberg.commit import Committer
    from k2_plugin_iceberg.settings import IcebergSettings
    from k2_plugin_iceberg.state import Base, TableState


class Upkeep:
    """Maintains one table; runs wait for each other, commits do not wait for them."""

    def __init__(
        self,
        state: TableState,
        committer: Committer,
        compaction: Compaction,
        sweep: Sweep,
        settings: IcebergSettings,
        clock: Clock,
    ) -> None:
        self._state, self._committer, self._compaction = state, committer, compaction
        self._sweep, self._settings, self._clock = sweep, settings, clock
        self._lock = threading.Lock()

    def run(self, *, dry_run: bool = False) -> MaintenanceReport:
        """See `SinkTable.maintain`."""
        with self._lock:
            counts = self._expire(dry_run)
            planned = self._compaction.planned(self._state.read(), self._clock.now_us())
            if dry_run:
                counts["files_compacted"] = sum(len(j.files) for j in planned)
                counts["files_written"] = len(planned)
                counts["rows_compacted"] = sum(j.rows for j in planned)
            else:
                counts |= self._compaction.run(planned)
            counts |= self._sweep.run(dry_run=dry_run)
        return MaintenanceReport(dry_run=dry_run, counts=counts)

    def _expire(self, dry_run: bool) -> dict[str, int]:
        """Commits expire as they go; this is for a table that nobody writes to."""
        expired = 0

        def attempt(base: Base) -> Base | None:
            nonlocal expired
            changes, gone = retained(base.metadata, self._settings, self._state.now_ms(base))
            expired = len(gone)
            return self._state.swap(base, **changes) if changes and not dry_run else base

        self._committer.repeat(attempt, lambda _: False)  # after a lost reply the next attempt finds nothing to do
        return {"snapshots_expired": expired}
