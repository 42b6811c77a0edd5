"""`docs/metrics.md`: every metric with its labels, unit, meaning, and where it is used."""

from __future__ import annotations

from k2core.telemetry.catalogue import GROUPS
from k2core.telemetry.metric import OTHER, Metric
from observability.more_alerts import ALERTS, RECORDED
from observability.more_boards import BOARDS, rows_of

HEAD = f"""# Metrics

Made from the catalogue in `k2core/telemetry/` by `nox -s generate`; no metric exists that is not in it. How to scrape
them, the dashboards and the alerts: [observability.md](observability.md).

A label value beyond its bound is counted as `{OTHER}`; symbols are no labels. Histograms are observed a batch at a time.
Of delays, at most 64 frames or records a batch are taken. "rare": it stays as it is
while all is well, or moves but now and then.
"""


def page() -> str:
    """The page."""
    parts = [HEAD]
    for title, metrics in GROUPS.items():
        parts.append(
            f"\n## {title}\n\n| metric | kind | labels | meaning | shown by | used in |\n|---|---|---|---|---|---|\n"
        )
        parts += [f"{_row(metric)}\n" for metric in metrics]
    return "".join(parts)


def _row(metric: Metric) -> str:
    labels = ", ".join(_label(metric, label) for label in metric.labels) or "-"
    by = ", ".join(metric.processes) or "all"
    rare = "; rare" if metric.rare else ""
    return (
        f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help}{rare} | {by} | {', '.join(users(metric.name))} |"
    )


def _label(metric: Metric, label: str) -> str:
    if label in metric.values:
        return f"{label}: {', '.join(f'`{value}`' for value in metric.values[label])}"
    return f"{label} (≤ {metric.bound(label)})"


def users(name: str) -> list[str]:
    """Dashboards, alerts and recorded series that use a metric."""
    boards = [b.title for b in BOARDS for _, panels in rows_of(b) if any(name in p.metrics for p in panels)]
    alerts = [a.name for alerts in ALERTS.values() for a in alerts if _uses(a.expr, name)]
    recorded = [record for record, expr in RECORDED.items() if _uses(expr, name)]
    return list(dict.fromkeys([*boards, *alerts, *recorded]))


def _uses(expr: str, name: str) -> bool:
    return any(f"{name}{end}" in expr for end in ("{", "[", " ", "_bucket", ")")) or expr.endswith(name)
