"""`/metrics`: this process's values and those that the others publish, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from k2core.telemetry.catalogue import CATALOGUE
from k2core.telemetry.metrics import Labels, Metrics
from k2core.telemetry.status import Status


def exposition(metrics: Metrics, statuses: Mapping[str, Status]) -> bytes:
    """Every value of the catalogue; equal series of several processes are added up."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector

    class Values(Collector):
        def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
            found = _added(metrics, statuses)
            for name, declared in CATALOGUE.items():
                family = CounterMetricFamily if declared.kind == "counter" else GaugeMetricFamily
                one = family(name, declared.help, labels=declared.labels)
                for labels, value in sorted(found.get(name, {}).items()):
                    by_name = dict(labels)
                    one.add_metric([by_name[n] for n in declared.labels], value)
                yield one

    registry = CollectorRegistry()
    registry.register(Values())
    return generate_latest(registry)


def _added(metrics: Metrics, statuses: Mapping[str, Status]) -> dict[str, dict[Labels, float]]:
    found: dict[str, dict[Labels, float]] = {}
    others = [(n, tuple((k, v) for k, v in ls), v) for s in statuses.values() for n, ls, v in s.values]
    for name, labels, value in [*metrics.snapshot(), *others]:
        series = found.setdefault(name, {})
        series[labels] = series.get(labels, 0) + value
    return found
