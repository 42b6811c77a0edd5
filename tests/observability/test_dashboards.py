"""Dashboards keep the rules of Grafana's linter, and ask only for metrics and labels that the catalogue has."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest

from k2core.telemetry.catalogue import CATALOGUE
from observability.more_alerts import ALERTS, RECORDED

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "k2core" / "telemetry" / "assets" / "dashboards").glob("*.json"))
BOARDS = {path.stem: json.loads(path.read_text()) for path in FILES}
PLACES = {"job", "instance", "le"}
PROMETHEUS = {"up": set()}
"""What Prometheus itself makes."""


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    for name, board in BOARDS.items():
        for panel in panels(board):
            yield from ((f"{name}: {panel['title']}", target["expr"]) for target in panel["targets"])
    for alert in (alert for alerts in ALERTS.values() for alert in alerts):
        yield alert.name, alert.expr
    yield from RECORDED.items()


def selectors(node: Any) -> Iterator[Any]:
    """Every selector in a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "args", "param"):
        inner = getattr(node, name, None)
        for one in inner if isinstance(inner, list) else [inner]:
            if one is not None and not isinstance(one, str):
                yield from selectors(one)


def parsed(expr: str) -> Any:
    return promql_parser.parse(expr.replace("$__rate_interval", "1m"))


def known(name: str) -> set[str] | None:
    """Labels that a series may have; None where there is no such series."""
    metric = CATALOGUE.get(name) or CATALOGUE.get(re.sub(r"_(bucket|sum|count)$", "", name))
    if metric is not None and (metric.name == name) == (metric.kind != "histogram"):
        return PLACES | set(metric.labels)
    if name in RECORDED:
        return {*PLACES, *CATALOGUE}
    return PLACES if name in PROMETHEUS else None


@pytest.mark.parametrize(("where", "expr"), list(expressions()))
def test_every_selector_is_of_the_catalogue(where: str, expr: str) -> None:
    found = list(selectors(parsed(expr)))
    assert found, f"{where} selects nothing"
    for selector in found:
        labels = known(selector.name)
        assert labels is not None, f"{where}: {selector.name} is no metric"
        asked = {matcher.name for matcher in selector.matchers.matchers}
        assert asked <= labels, f"{where}: {selector.name} has no label {asked - labels}"


@pytest.mark.parametrize(("where", "expr"), list(expressions()))
def test_groupings_are_labels_of_what_is_grouped(where: str, expr: str) -> None:
    names = {selector.name for selector in selectors(parsed(expr))}
    labels = set().union(*(known(name) or set() for name in names))
    for grouped in re.findall(r"by \(([^)]*)\)", expr):
        assert {label.strip() for label in grouped.split(",")} <= labels, where


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_templated_and_not_for_editing(name: str) -> None:
    board = BOARDS[name]
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert set(variables) == {"datasource", "job", "instance"}
    assert variables["datasource"]["query"] == "prometheus"
    assert all(variables[one]["multi"] and variables[one]["allValue"] == ".+" for one in ("job", "instance"))
    assert board["editable"] is False
    assert board["uid"] == name
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@pytest.mark.parametrize("name", BOARDS)
def test_panels_say_what_they_show_in_which_unit(name: str) -> None:
    for panel in panels(BOARDS[name]):
        assert panel["title"], name
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert 1 <= len(panel["targets"]) <= 4


@pytest.mark.parametrize("name", BOARDS)
def test_panels_lie_side_by_side(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARDS[name]["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, f"{panel['title']} covers another one"
        taken |= cells


@pytest.mark.parametrize("name", BOARDS)
def test_queries_follow_the_templates_and_count_by_rates(name: str) -> None:
    for panel in panels(BOARDS[name]):
        for target in panel["targets"]:
            expr = target["expr"]
            for selector in re.findall(r"k2_\w+(\{[^}]*\})?", expr):
                assert 'job=~"$job"' in selector, expr
                assert 'instance=~"$instance"' in selector, expr
            counters = re.findall(r"k2_\w+_(?:total|bucket)\b", expr)
            assert len(counters) == expr.count("rate("), f"a counter stands under rate: {expr}"
            assert expr.count("rate(") == expr.count("[$__rate_interval]")
