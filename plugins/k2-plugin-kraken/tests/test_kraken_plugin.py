"""The plugin as k2 sees it: facts, entry point, evidence, size."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import k2_plugin_kraken

from k2core.plugin import ChannelFacts, ConnectorFacts

ROOT = Path(__file__).parents[1]


def test_declared_facts() -> None:
    (connector,) = k2_plugin_kraken.k2_connectors()
    assert connector.capabilities == ConnectorFacts(
        exchange="kraken",
        asset_class="crypto",
        channels={
            "trades": ChannelFacts(ids="contiguous", side="taker", event_time="exchange"),
            "quotes": ChannelFacts(ids="opaque", event_time="exchange"),
        },
    )


def test_it_is_found_through_its_entry_point() -> None:
    (point,) = [point for point in entry_points(group="k2.plugins") if point.name == "kraken"]
    assert point.load() is k2_plugin_kraken


def test_every_setting_is_described() -> None:
    hooks = (k2_plugin_kraken.k2_connectors, k2_plugin_kraken.k2_normalizers, k2_plugin_kraken.k2_local_exchanges)
    for component in (component for hook in hooks for component in hook()):
        assert all(field.description for field in component.settings.model_fields.values())


def test_every_fact_has_its_proof() -> None:
    """The evidence table names tests; each of them exists."""
    named = set(re.findall(r"`(test_\w+)::(test_\w+)`", (ROOT / "README.md").read_text()))
    assert len(named) >= 12
    for module, test in named:
        assert f"def {test}(" in (ROOT / "tests" / f"{module}.py").read_text(), f"{module}::{test}"


def test_the_source_is_small() -> None:
    """An exchange in an afternoon: every line counts, those of the local exchange and of docstrings too."""
    assert sum(len(path.read_text().splitlines()) for path in (ROOT / "src").rglob("*.py")) < 350
