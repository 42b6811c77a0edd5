"""`Metric`: the declaration of one metric, and the rules that every name keeps.

Names follow Prometheus' practice: the prefix `k2_`, base units, the unit at the end of the name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

OTHER = "other"
"""What a label value beyond its bound becomes."""

MOST = {"exchange": 32, "data_type": 16, "reason": 24, "consumer": 32, "topic": 64, "metric": 200}
"""Distinct values that a label without a closed set may take, in one metric; 16 where it is not named here."""

UNITS = ("timestamp_seconds", "seconds", "bytes", "ratio")
_NAME = re.compile(r"k2_[a-z0-9]+(_[a-z0-9]+)+")


@dataclass(frozen=True, slots=True)
class Metric:
    """A declared metric. A symbol is never a label.

    Args:
        name: Full name with its unit.
        kind: `counter`, `gauge`, `histogram`.
        labels: Label names.
        help: What it counts or measures, in a line.
        processes: Which show it: `ingest`, `write`, `serve`, `up`; empty: all.
        values: By label, the values that there are; any other becomes `other`.
        initial: By label, values that are shown as 0 before they occur; others may come, up to the bound of `MOST`.
        buckets: Upper bounds of a histogram.
        rare: The main job alone does not move it within a minute: a fault does, or time.
        zero: A gauge that is 0 before anything is known of it.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    processes: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    initial: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()
    rare: bool = False
    zero: bool = False

    @property
    def unit(self) -> str:
        """Its unit: `seconds`, `bytes`, `ratio`, `timestamp_seconds`, else what it counts, as `frames`."""
        bare = self.name.removesuffix("_total")
        return next((unit for unit in UNITS if bare.endswith("_" + unit)), bare.rsplit("_", 1)[-1])

    def bound(self, label: str) -> int:
        """Distinct values that a label may take, `other` not among them."""
        return len(self.values[label]) if label in self.values else MOST.get(label, 16)

    def known(self, label: str) -> tuple[str, ...]:
        """Values of a label that are known beforehand."""
        return self.values.get(label) or self.initial.get(label, ())


def fault(metric: Metric) -> str | None:
    """What is wrong with a declaration, in a sentence; None where nothing is."""
    if not _NAME.fullmatch(metric.name):
        return f"metric {metric.name!r}: a name is k2_ and words in lower case"
    if (metric.kind == "counter") != metric.name.endswith("_total"):
        return f"metric {metric.name}: counters, and they alone, end in _total"
    if bool(metric.buckets) != (metric.kind == "histogram") or list(metric.buckets) != sorted(set(metric.buckets)):
        return f"metric {metric.name}: histograms, and they alone, have buckets, which rise"
    if {"symbol", "le"} & set(metric.labels) or (set(metric.values) | set(metric.initial)) - set(metric.labels):
        return f"metric {metric.name}: symbol and le are no labels, and values are of its labels {metric.labels}"
    if not metric.help.strip() or "\n" in metric.help:
        return f"metric {metric.name}: help is one line"
    return None
