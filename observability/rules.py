"""Rules and their tests as files for Prometheus and promtool."""

from __future__ import annotations

from typing import Any

import yaml

from observability.alert import Alert
from observability.more_alerts import ALERTS, RECORDED

AT = "30m"


def rules() -> str:
    """The rules."""
    recorded = [{"record": name, "expr": expr} for name, expr in RECORDED.items()]
    groups: list[dict[str, Any]] = [{"name": "k2-recorded", "rules": recorded}]
    for name, alerts in ALERTS.items():
        groups.append({"name": name, "rules": [_rule(alert) for alert in alerts]})
    return _yaml({"groups": groups})


def tests(rule_file: str) -> str:
    """A firing and a silent story of each alert.

    Args:
        rule_file: The rules, as promtool finds them from the tests.
    """
    every = [alert for alerts in ALERTS.values() for alert in alerts]
    stories = [story for alert in every for story in (_story(alert, fires=True), _story(alert, fires=False))]
    return _yaml({"rule_files": [rule_file], "evaluation_interval": "1m", "tests": stories})


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.lasts,
        "labels": {"severity": alert.severity},
        "annotations": alert.annotations,
    }


def _story(alert: Alert, *, fires: bool) -> dict[str, Any]:
    given = alert.fires if fires else alert.silent
    fired = [{"exp_labels": alert.fired(), "exp_annotations": alert.annotations}] if fires else []
    return {
        "name": f"{alert.name} {'fires' if fires else 'is silent'}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in given.items()],
        "alert_rule_test": [{"eval_time": AT, "alertname": alert.name, "exp_alerts": fired}],
    }


def _yaml(body: dict[str, Any]) -> str:
    head = "# Made by `nox -s generate` from observability/.\n"
    return head + yaml.safe_dump(body, sort_keys=False, width=120, allow_unicode=True)
