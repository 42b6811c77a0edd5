"""The catalogue is the only way to make a metric, its names keep the rules, its labels stay within their bounds."""

from __future__ import annotations

import logging
import pathlib
import re

import numpy as np
import pytest

from k2core.component import Component, Context, Settings
from k2core.config.build import construct
from k2core.discovery.registry import Entry
from k2core.errors import PluginError
from k2core.telemetry.catalogue import CATALOGUE
from k2core.telemetry.exposition import exposition
from k2core.telemetry.metric import Metric, fault
from k2core.telemetry.metrics import Metrics
from k2core.testing import ManualClock
from observability.__main__ import files
from observability.page import users
from tests.observability.faults import FAULTS

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_there_are_enough_and_each_keeps_the_rules() -> None:
    assert len(CATALOGUE) >= 83
    assert [wrong for metric in CATALOGUE.values() if (wrong := fault(metric))] == []


def test_each_is_used_by_a_dashboard_or_a_rule() -> None:
    assert [name for name in CATALOGUE if not users(name)] == []


@pytest.mark.parametrize("path", sorted(files()))
def test_what_is_generated_is_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text() == files()[path], "run nox -s generate"


def test_only_faults_move_those_that_are_rare_and_a_test_is_named_for_each() -> None:
    assert {name for name, metric in CATALOGUE.items() if metric.rare} == set(FAULTS)
    for name, test in FAULTS.items():
        path, _, function = test.partition("::")
        found = re.search(
            rf"^(?:async )?def {function}\(.*?(?=^(?:async )?def |\Z)", (ROOT / path).read_text(), re.M | re.S
        )
        assert found, f"{test} is gone"
        assert name in found.group() or function in MOVED_BY_ALL, f"{test} does not look at {name}"


MOVED_BY_ALL: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    "wrong",
    [
        Metric("queries_total", "counter", (), "no prefix"),
        Metric("k2_queries", "counter", (), "no _total"),
        Metric("k2_queries_total", "gauge", (), "_total"),
        Metric("k2_delay_seconds", "histogram", (), "no buckets"),
        Metric("k2_delay_seconds", "histogram", (), "they fall", buckets=(2, 1)),
        Metric("k2_prices", "gauge", ("symbol",), "a symbol"),
        Metric("k2_prices", "gauge", ("exchange",), "values of another label", values={"side": ("buy",)}),
        Metric("k2_prices", "gauge", ("exchange",), ""),
    ],
)
def test_a_declaration_that_breaks_the_rules_is_refused(wrong: Metric) -> None:
    assert fault(wrong)
    with pytest.raises(ValueError, match="metric"):
        Metrics().declare([wrong])


def test_what_is_not_declared_cannot_be_counted() -> None:
    metrics = Metrics()
    for name, labels in (("k2_nothing_total", {}), ("k2_ingest_records_total", {}), ("k2_ingest_connections", {})):
        with pytest.raises(ValueError, match="is not declared as a counter"):
            metrics.add(name, **labels)


def test_a_value_beyond_the_bound_is_other() -> None:
    metrics = Metrics()
    for number in range(40):
        metrics.add("k2_ingest_dead_letters_total", exchange="toy", reason=f"reason-{number}")
    page = exposition(metrics).decode()
    assert page.count('k2_ingest_dead_letters_total{exchange="toy",reason=') == 25
    assert 'k2_ingest_dead_letters_total{exchange="toy",reason="other"} 16.0' in page
    assert metrics.value("k2_metrics_label_overflows_total", metric="k2_ingest_dead_letters_total") == 16
    metrics.add("k2_serve_queries_total", route="trades", outcome="odd")
    assert metrics.value("k2_serve_queries_total", outcome="other") == 1


def test_what_may_happen_is_shown_as_nothing_at_first() -> None:
    metrics = Metrics()
    metrics.begin("write", {"data_type": ["trades"], "exchange": ["toy"]})
    page = exposition(metrics).decode()
    assert 'k2_writer_commits_total{data_type="trades",outcome="conflict"} 0.0' in page
    assert 'k2_writer_commit_seconds_count{data_type="trades"} 0.0' in page
    assert "k2_serve" not in page
    assert "k2_writer_lag_records" not in page.replace("# HELP", ""), "a gauge of which nothing is known is not there"


def test_histograms_count_single_values_and_arrays_alike() -> None:
    one, many = Metrics(), Metrics()
    values = np.array([0.0, 0.001, 0.0011, 0.3, 1e9])
    for value in values.tolist():
        one.observe("k2_ingest_append_delay_seconds", value, exchange="toy")
    many.observe_each("k2_ingest_append_delay_seconds", values, exchange="toy")
    assert exposition(one) == exposition(many)
    assert 'k2_ingest_append_delay_seconds_bucket{exchange="toy",le="0.001"} 2.0' in exposition(one).decode()
    assert one.value("k2_ingest_append_delay_seconds", exchange="toy") == 5


def test_a_plugin_counts_what_its_component_declares() -> None:
    mine = Metric("k2_toy_bells_total", "counter", ("exchange",), "bells that rang")
    component = Component(name="toy", summary="", settings=Settings, factory=ringing, metrics=[mine])
    metrics = Metrics()
    made = construct(entry(component), Settings(), context(metrics))
    assert made == metrics.value("k2_toy_bells_total") == 1
    assert "k2_toy_bells_total" not in CATALOGUE
    wrong = Component(
        name="toy", summary="", settings=Settings, factory=ringing, metrics=[Metric("x", "gauge", (), "x")]
    )
    with pytest.raises(PluginError, match="a name is k2_"):
        construct(entry(wrong), Settings(), context(metrics))


def ringing(settings: Settings, context: Context) -> float:
    context.metrics.add("k2_toy_bells_total", exchange="toy")
    return context.metrics.value("k2_toy_bells_total")


def entry(component: Component[object]) -> Entry:
    return Entry(kind="dedup-store", name="toy", distribution="toy", version="1", component=component)


def context(metrics: Metrics) -> Context:
    return Context(clock=ManualClock(), logger=logging.getLogger("k2.toy"), metrics=metrics)
