"""Is this service, and what stands behind it, fit to answer? What `/readyz` says, and why not.

A process that publishes no status for longer than `wedged_s` is wedged or gone, whatever it said last.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

from k2core.api.loop import TailLoop
from k2core.clock import Clock
from k2core.telemetry.status import Status, read_statuses

ENDED = ("stopped",)


class Readiness:
    """Looks at the tails and at the other processes.

    Args:
        loops: What advances each tail, by data type name.
        folder: Where processes publish their status; None to look at none.
        wedged_s: Silence that counts as wedged, seconds.
        clock: The time.
    """

    def __init__(
        self, loops: Mapping[str, TailLoop], folder: pathlib.Path | None, wedged_s: float, clock: Clock
    ) -> None:
        self._loops, self._folder, self._wedged, self._clock = loops, folder, wedged_s, clock

    def reasons(self) -> list[str]:
        """Why not; empty where all is well."""
        found = [f"tail {name}: {why}" for name, loop in self._loops.items() if (why := loop.trouble(self._wedged))]
        return found + [f"{s.name}: {why}" for s in self.statuses().values() if (why := self._trouble(s))]

    def statuses(self) -> dict[str, Status]:
        """What the other processes say of themselves."""
        if self._folder is None:
            return {}
        return {name: s for name, s in read_statuses(self._folder).items() if name != "serve"}

    def _trouble(self, status: Status) -> str | None:
        if status.state in ENDED:
            return None
        silent_s = (self._clock.now_ms() - status.at_ms) / 1000
        if silent_s > self._wedged:
            return f"wedged or gone: pid {status.pid} has said nothing for {silent_s:.0f} s"
        return f"{status.state}: {status.detail}" if status.state == "failed" else None
