"""Prometheus' text format of a process's own values; prometheus-client renders it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from k2core.telemetry.metric import Metric
from k2core.telemetry.metrics import Labels, Metrics

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(metrics: Metrics) -> bytes:
    """Everything that has a value."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class Values(Collector):
        def collect(self) -> Iterable[Family]:
            return families(metrics)

    registry = CollectorRegistry()
    metrics.refresh()
    registry.register(Values())
    return generate_latest(registry)


def families(metrics: Metrics) -> Iterator[Family]:
    """One family a metric, in the order of the catalogue."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    plain: dict[str, list[tuple[Labels, float]]] = {}
    for name, labels, value in metrics.snapshot():
        plain.setdefault(name, []).append((labels, value))
    spread: dict[str, list[tuple[Labels, list[tuple[str, float]], float]]] = {}
    for name, labels, bounds, counts, total in metrics.histograms():
        steps = list(zip([*map(repr, map(float, bounds)), "+Inf"], itertools.accumulate(counts), strict=True))
        spread.setdefault(name, []).append((labels, [(le, float(n)) for le, n in steps], total))
    for name, declared in list(metrics.catalogue.items()):
        if name in spread:
            one = HistogramMetricFamily(name, declared.help, labels=declared.labels)
            for labels, buckets, total in sorted(spread[name]):
                one.add_metric(_ordered(declared, labels), buckets, total)
            yield one
        elif name in plain:
            family = CounterMetricFamily if declared.kind == "counter" else GaugeMetricFamily
            two = family(name, declared.help, labels=declared.labels)
            for labels, value in sorted(plain[name]):
                two.add_metric(_ordered(declared, labels), value)
            yield two


def _ordered(declared: Metric, labels: Labels) -> list[str]:
    by_name = dict(labels)
    return [by_name[name] for name in declared.labels]
