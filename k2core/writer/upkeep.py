"""`Upkeep`: maintenance of tables beside ingestion, in a thread of its own. A run that fails is told and tried again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from k2core.config.settings import MaintenanceSettings
from k2core.errors import K2Error
from k2core.interfaces.sink import SinkTable
from k2core.telemetry.metrics import Metrics

JOIN_S = 5.0
"""Seconds that `stop` waits for a run to end; maintenance may be cut off anywhere, so the thread is a daemon."""


class Upkeep:
    """Runs `SinkTable.maintain` on each table, again and again.

    Args:
        tables: By data type.
        settings: How often, and whether at all.
        metrics: Where runs are counted.
        logger: For lines about failures.
        ours: Asked before each run by the table's name: whether it is this process that maintains it.
    """

    def __init__(
        self,
        tables: Mapping[str, SinkTable],
        settings: MaintenanceSettings,
        metrics: Metrics,
        logger: logging.Logger,
        ours: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self._ours = ours
        self._tables, self._settings = dict(tables), settings
        self._metrics, self._logger = metrics, logger
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="k2-upkeep", daemon=True)

    def put(self, name: str, table: SinkTable) -> None:
        """Maintain this table too, or instead of the one of that name."""
        self._tables = {**self._tables, name: table}

    def start(self) -> None:
        """Begin, one interval from now, if enabled."""
        if self._settings.enabled:
            self._thread.start()

    def stop(self, timeout: float = JOIN_S) -> None:
        """End; a run that takes longer than `timeout` seconds is left behind."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def run_once(self) -> None:
        """Maintain every table once."""
        for name, table in self._tables.items():
            if self._stop.is_set():
                return
            if not self._ours(name):
                continue
            began = time.monotonic()
            outcome = self._maintain(name, table)
            self._metrics.add("k2_maintenance_runs_total", data_type=name, outcome=outcome)
            self._metrics.observe("k2_maintenance_seconds", time.monotonic() - began, data_type=name)
            if outcome == "done":
                self._metrics.set("k2_maintenance_last_success_timestamp_seconds", time.time(), data_type=name)

    def _maintain(self, name: str, table: SinkTable) -> str:
        try:
            report = table.maintain()
        except K2Error as error:
            self._logger.warning("maintenance failed data_type=%s error=%s", name, error)
            return "failed"
        except Exception:
            self._logger.exception("maintenance failed data_type=%s", name)
            return "failed"
        for change, count in report.counts.items():
            self._metrics.add("k2_maintenance_changes_total", max(0, count), data_type=name, change=change)
        if done := " ".join(f"{key}={count}" for key, count in sorted(report.counts.items()) if count):
            self._logger.info("maintenance done data_type=%s %s", name, done)
        return "done"

    def _loop(self) -> None:
        while not self._stop.wait(self._settings.interval_s):
            self.run_once()
