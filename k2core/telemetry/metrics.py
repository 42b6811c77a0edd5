"""`Metrics`: the counters, gauges and histograms of one process, made from the declared catalogue alone.

Values are kept here and read by the status file, `/metrics` and the terminal. Everything is meant to be called once a
batch, never once a record. A label value beyond its bound becomes `other`, and is counted as such.
"""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from k2core.telemetry.metric import OTHER, Kind, Metric, fault

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Histogram", "Labels", "Metric", "Metrics"]

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]

OVERFLOW = "k2_metrics_label_overflows_total"


class Histogram:
    """One series: observations by bucket, the last for all beyond the highest bound, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds, self.counts, self.total = tuple(bounds), [0] * (len(bounds) + 1), 0.0

    def add(self, value: float, count: int) -> None:
        """So many observations of one value."""
        self.counts[bisect_left(self.bounds, value)] += count
        self.total += value * count

    def add_each(self, values: npt.NDArray[Any]) -> None:
        """One observation each."""
        import numpy as np

        found = np.bincount(np.searchsorted(self.bounds, values), minlength=len(self.counts)).tolist()
        self.counts = [a + b for a, b in zip(self.counts, found, strict=True)]
        self.total += float(values.sum())


class Metrics:
    """The values of one process. Thread-safe."""

    def __init__(self, catalogue: Mapping[str, Metric] | None = None) -> None:
        if catalogue is None:
            from k2core.telemetry.catalogue import CATALOGUE

            catalogue = CATALOGUE
        self.catalogue = dict(catalogue)
        self._values: dict[Key, float] = {}
        self._histograms: dict[Key, Histogram] = {}
        self._keys: dict[tuple[Any, ...], Key] = {}
        self._seen: dict[tuple[str, str], set[str]] = {}
        self._lock = threading.RLock()
        self._sources: list[Callable[[], object]] = []

    def declare(self, metrics: Iterable[Metric]) -> None:
        """Take in the metrics of a plugin.

        Raises:
            ValueError: A name breaks the rules, or is taken by another declaration.
        """
        for metric in metrics:
            if wrong := fault(metric):
                raise ValueError(wrong)
            if self.catalogue.setdefault(metric.name, metric) != metric:
                raise ValueError(f"metric {metric.name} is declared twice, differently")

    def begin(self, process: str, known: Mapping[str, Sequence[str]]) -> None:
        """Show what this process may count as 0, so that a first occurrence is seen as a rise.

        Args:
            process: `ingest`, `write`, `serve`, `up`.
            known: By label, the values that are known: exchanges, data types.
        """
        for metric in list(self.catalogue.values()):
            if metric.processes and process not in metric.processes:
                continue
            if metric.kind == "gauge" and not metric.zero:
                continue
            each = [metric.known(label) or known.get(label, ()) for label in metric.labels]
            for values in itertools.product(*each):
                self._touch(metric, dict(zip(metric.labels, values, strict=True)))

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

    def observe(self, name: str, value: float, count: int = 1, **labels: str) -> None:
        """Note a value in a histogram, `count` times."""
        with self._lock:
            self._histogram(name, labels).add(value, count)

    def observe_each(self, name: str, values: npt.NDArray[Any], **labels: str) -> None:
        """Note each of many values in a histogram."""
        if len(values):
            with self._lock:
                self._histogram(name, labels).add_each(values)

    def collect(self, source: Callable[[], object]) -> None:
        """Have something called before values are read: it sets gauges that cost too much to keep up to date."""
        self._sources.append(source)

    def refresh(self) -> None:
        """Call what sets gauges on demand."""
        for source in self._sources:
            source()

    def value(self, name: str, **labels: str) -> float:
        """One value, or with fewer labels the sum of all that match; 0 where nothing was counted.

        Of a histogram, the number of observations.
        """
        want = set(labels.items())
        with self._lock:
            plain = sum(v for (n, ls), v in self._values.items() if n == name and want <= set(ls))
            return plain + sum(
                sum(h.counts) for (n, ls), h in self._histograms.items() if n == name and want <= set(ls)
            )

    def snapshot(self) -> list[tuple[str, Labels, float]]:
        """Every counter and gauge: (name, labels, value)."""
        with self._lock:
            return [(n, ls, v) for (n, ls), v in self._values.items()]

    def histograms(self) -> list[tuple[str, Labels, tuple[float, ...], list[int], float]]:
        """Every histogram: (name, labels, bounds, observations by bucket, sum)."""
        with self._lock:
            return [(n, ls, h.bounds, list(h.counts), h.total) for (n, ls), h in self._histograms.items()]

    def _touch(self, metric: Metric, labels: dict[str, str]) -> None:
        with self._lock:
            if metric.kind == "histogram":
                self._histogram(metric.name, labels)
            else:
                self._values.setdefault(self._key(metric.name, metric.kind, labels), 0)

    def _histogram(self, name: str, labels: dict[str, str]) -> Histogram:
        key = self._key(name, "histogram", labels)
        found = self._histograms.get(key)
        if found is None:
            found = self._histograms[key] = Histogram(self.catalogue[name].buckets)
        return found

    def _key(self, name: str, kind: Kind, labels: dict[str, str]) -> Key:
        given = (kind, name, *labels.items())
        if (key := self._keys.get(given)) is not None:
            return key
        declared = self.catalogue.get(name)
        if declared is None or declared.kind != kind or set(labels) != set(declared.labels):
            raise ValueError(f"metric {name} is not declared as a {kind} with labels {sorted(labels)}")
        bounded = {label: self._bounded(declared, label, value) for label, value in labels.items()}
        key = name, tuple(sorted(bounded.items()))
        if bounded == labels:  # one that overflows is not kept: there may be any number of them
            self._keys[given] = key
        return key

    def _bounded(self, metric: Metric, label: str, value: str) -> str:
        with self._lock:
            seen = self._seen.setdefault((metric.name, label), set(metric.values.get(label, ())))
            if value in seen:
                return value
            if label not in metric.values and len(seen) < metric.bound(label):
                seen.add(value)
                return value
        if value != OTHER and metric.name != OVERFLOW and OVERFLOW in self.catalogue:
            self.add(OVERFLOW, metric=metric.name)
        return OTHER
