"""PromQL of the catalogue's metrics: what is sensible follows from a metric's kind and unit."""

from __future__ import annotations

from dataclasses import dataclass

from k2core.telemetry.catalogue import CATALOGUE
from k2core.telemetry.metric import Metric

SELECTOR = 'job=~"$job",instance=~"$instance"'
UNITS = {"seconds": "s", "bytes": "bytes", "ratio": "percentunit", "timestamp_seconds": "s"}


@dataclass(frozen=True, slots=True)
class Query:
    """One line of a panel."""

    expr: str
    legend: str


def chosen(metric: Metric, extra: str = "") -> str:
    """`{…}` of a metric on a dashboard."""
    return "{" + SELECTOR + (f",{extra}" if extra else "") + "}"


def queries(name: str, by: tuple[str, ...] | None = None) -> list[Query]:
    """What a panel asks of a metric.

    Args:
        name: Of the catalogue.
        by: Labels to tell apart; None: all that it has.
    """
    metric = CATALOGUE[name]
    labels = metric.labels if by is None else by
    grouped, legend = f" by ({', '.join(labels)})" if labels else "", " ".join(f"{{{{{label}}}}}" for label in labels)
    where = chosen(metric)
    if metric.kind == "counter":
        return [Query(f"sum{grouped} (rate({name}{where}[$__rate_interval]))", legend or "all")]
    if metric.kind == "histogram":
        split = ", ".join(("le", *labels))
        buckets = f"sum by ({split}) (rate({name}_bucket{where}[$__rate_interval]))"
        return [
            Query(f"histogram_quantile({q}, {buckets})", f"{legend} p{round(100 * q)}".strip()) for q in (0.5, 0.99)
        ]
    if metric.unit == "timestamp_seconds":
        return [Query(f"time() - max{grouped} ({name}{where})", f"{legend} ago".strip())]
    return [Query(f"max{grouped} ({name}{where})", legend or "all")]


def unit(name: str) -> str:
    """Grafana's unit of what `queries` gives."""
    metric = CATALOGUE[name]
    if metric.kind == "counter":
        return {"bytes": "Bps", "seconds": "percentunit"}.get(metric.unit, "cps")
    return UNITS.get(metric.unit, "short")
