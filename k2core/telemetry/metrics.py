"""Metrics: one declared catalogue, and the counters and gauges made from it.

Values are kept here and read by the status file, `/metrics` and the terminal; prometheus-client renders them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """A declared metric: full name with its unit, kind, label names, help."""

    name: str
    kind: Literal["counter", "gauge"]
    labels: tuple[str, ...]
    help: str


class Metrics:
    """The values of one process. Thread-safe; meant to be called once a batch, never once a record."""

    def __init__(self, catalogue: Mapping[str, Metric] | None = None) -> None:
        if catalogue is None:
            from k2core.telemetry.catalogue import CATALOGUE

            catalogue = CATALOGUE
        self._catalogue = catalogue
        self._values: dict[tuple[str, Labels], float] = {}
        self._lock = threading.Lock()

    def add(self, name: str, value: float = 1, **labels: str) -> None:
        """Raise a counter."""
        key = self._key(name, "counter", labels)
        with self._lock:
            self._values[key] = self._values.get(key, 0) + value

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        key = self._key(name, "gauge", labels)
        with self._lock:
            self._values[key] = value

    def value(self, name: str, **labels: str) -> float:
        """One value, or with fewer labels the sum of all that match; 0 where nothing was counted."""
        want = set(labels.items())
        with self._lock:
            return sum(v for (n, ls), v in self._values.items() if n == name and want <= set(ls))

    def snapshot(self) -> list[tuple[str, Labels, float]]:
        """Every value: (name, labels, value)."""
        with self._lock:
            return [(n, ls, v) for (n, ls), v in self._values.items()]

    def _key(self, name: str, kind: str, labels: dict[str, str]) -> tuple[str, Labels]:
        declared = self._catalogue.get(name)
        if declared is None or declared.kind != kind or set(labels) != set(declared.labels):
            raise ValueError(f"metric {name} is not declared as a {kind} with labels {sorted(labels)}")
        return name, tuple(sorted(labels.items()))
