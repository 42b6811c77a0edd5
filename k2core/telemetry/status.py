"""Status files: how the processes of one machine see each other. Each publishes `run/NAME.json`, replaced atomically.

A status says who wrote it (pid), when (`at_ms`), what state it is in, and its metric values. A file that is not renewed
means that its process is wedged or gone: `k2 up` and `/readyz` read that.
"""

from __future__ import annotations

import logging
import os
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from k2core.clock import Clock
from k2core.telemetry.metrics import Metrics

log = logging.getLogger("k2.status")
ENDED = ("stopped", "failed")
OTHERS_S = 30.0
"""A status that is older is nobody's: `k2 up` renews what it minds, or starts it again, sooner."""


@dataclass(frozen=True, slots=True)
class Status:
    """One process's word about itself.

    Args:
        name: `ingest`, `write`, `serve`.
        pid: Its process id.
        at_ms: When it said so, Unix ms.
        state: `starting`, `running`, `draining`, `stopped`, `failed`.
        detail: One line for people: why it is in that state.
        values: Metric values: [name, [[label, value] …], number]; counters and gauges that are not 0.
        facts: Whatever else others need to know.
        minded: Whether `k2 up` started it.
    """

    name: str
    pid: int
    at_ms: int
    state: str
    detail: str = ""
    values: list[tuple[str, list[tuple[str, str]], float]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    minded: bool = False

    def value(self, name: str, **labels: str) -> float:
        """Sum of the metric's values whose labels match."""
        want = set(labels.items())
        return sum(v for n, ls, v in self.values if n == name and want <= {(k, w) for k, w in ls})


class StatusFile:
    """Publishes one process's status.

    Args:
        folder: `[run] path`.
        name: Of the process.
        clock: The time.
        metrics: Whose values are told.
        minded: Whether `k2 up` started this process, and looks here for it. One that it did not start leaves the file to
            one that it did, while that lives: it is told of by its own port alone.
    """

    def __init__(
        self, folder: pathlib.Path, name: str, clock: Clock, metrics: Metrics, *, minded: bool = False
    ) -> None:  # fmt: skip
        self._path = folder / f"{name}.json"
        self._name, self._clock, self._metrics, self._minded = name, clock, metrics, minded
        self._failing = self._yielding = False
        self.last: Status | None = None
        """What was said last, written or not."""
        folder.mkdir(parents=True, exist_ok=True)

    def publish(self, state: str, detail: str = "", facts: Mapping[str, Any] | None = None) -> None:
        """Replace the file. Readers see the old one or the new one, whole."""
        values = [(n, list(ls), v) for n, ls, v in self._metrics.snapshot() if v]
        self.last = status = Status(
            self._name, os.getpid(), self._clock.now_ms(), state, detail, values, dict(facts or {}), self._minded
        )
        if not self._minded and self._yields(status.at_ms):
            return
        fresh = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            fresh.write_bytes(msgspec.json.encode(status))
            fresh.replace(self._path)
        except OSError as error:  # a full disk under the status must not stop what it tells of
            fresh.unlink(missing_ok=True)
            if not self._failing:
                log.warning("status cannot be written path=%s error=%s", self._path, error)
            self._failing = True
        else:
            self._failing = False

    def _yields(self, now_ms: int) -> bool:
        """Whether the file is that of a living process that `k2 up` minds."""
        other = _read(self._path)
        yields = (
            other is not None
            and other.minded
            and other.pid != os.getpid()
            and other.state not in ENDED
            and now_ms - other.at_ms < OTHERS_S * 1000
        )
        if other is not None and yields and not self._yielding:
            log.warning(
                "this process is not shown by k2 up and /readyz, which show pid=%d: give each further %s a [run] path of its own",
                other.pid, self._name,
            )  # fmt: skip
        self._yielding = yields
        return yields


def _read(path: pathlib.Path) -> Status | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Status)
    except (OSError, msgspec.MsgspecError):
        return None


def read_statuses(folder: pathlib.Path) -> dict[str, Status]:
    """Every status in a folder, by name; a file that cannot be read is left out."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        if (status := _read(path)) is not None:
            found[status.name] = status
    return found
