"""What the small port of a process says of its health: `/livez`, `/readyz`, `/health`, from its last status.

A process whose main loop has not published its status for `wedged_s` is wedged, whatever it said last; one that starts
may take longer, for windows are built from large tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from k2core.clock import Clock
from k2core.telemetry.endpoint import Page
from k2core.telemetry.exposition import MEDIA_TYPE, exposition
from k2core.telemetry.metrics import Metrics
from k2core.telemetry.status import Status

Said = Callable[[], Status | None]


class Health:
    """Judges one process.

    Args:
        said: Its last status.
        clock: The time.
        wedged_s: Silence that counts as wedged.
    """

    def __init__(self, said: Said, clock: Clock, wedged_s: float) -> None:
        self._said, self._clock, self._wedged_s = said, clock, wedged_s

    def wedged(self) -> str | None:
        """Why it does not live, in words; None while it does."""
        status = self._said()
        if status is None or status.state == "starting":
            return None
        silent = (self._clock.now_ms() - status.at_ms) / 1000
        return f"its main loop has said nothing for {silent:.0f} s" if silent > self._wedged_s else None

    def unready(self) -> str | None:
        """Why it does not do its work; None while it does."""
        status = self._said()
        if why := self.wedged():
            return why
        if status is None or status.state != "running":
            return " ".join([status.state, status.detail]).strip() if status else "starting"
        return None

    def refresh(self, metrics: Metrics) -> None:
        """Set the gauges."""
        if (status := self._said()) is not None:
            metrics.set("k2_process_heartbeat_timestamp_seconds", status.at_ms / 1000)
        metrics.set("k2_process_ready", int(self.unready() is None))

    def pages(self, metrics: Metrics) -> Mapping[str, Callable[[], Page]]:
        """The pages of the port."""
        return {
            "/metrics": lambda: Page(200, MEDIA_TYPE, exposition(metrics)),
            "/livez": lambda: _told(self.wedged()),
            "/readyz": lambda: _told(self.unready()),
            "/health": self._health,
        }

    def _health(self) -> Page:
        status, why = self._said(), self.unready()
        body: dict[str, Any] = {"status": "degraded" if why else "ok", "reasons": [why] if why else []}
        if status is not None:
            body |= {"process": status.name, "pid": status.pid, "state": status.state, "at_ms": status.at_ms}
        return Page(200, "application/json", msgspec.json.encode(body))


def _told(why: str | None) -> Page:
    return Page(503 if why else 200, "text/plain; charset=utf-8", f"{why or 'ok'}\n".encode())
