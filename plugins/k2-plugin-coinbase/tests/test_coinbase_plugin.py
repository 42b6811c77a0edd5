"""What the plugin declares, and that it offers it light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import k2_plugin_coinbase
import pytest

from k2core.plugin import ChannelFacts, Component


def test_declared_facts() -> None:
    (connector,) = k2_plugin_coinbase.k2_connectors()
    facts = connector.capabilities
    assert (facts.exchange, facts.asset_class) == ("coinbase", "crypto")
    assert facts.channels == {
        "trades": ChannelFacts(ids="contiguous", side="maker", event_time="exchange", backfill=False),
        "quotes": ChannelFacts(ids="increasing", side=None, event_time="exchange", backfill=False),
    }


@pytest.mark.parametrize("hook", ["k2_connectors", "k2_normalizers", "k2_local_exchanges"])
def test_each_hook_offers_one_component_named_coinbase(hook: str) -> None:
    (component,) = getattr(k2_plugin_coinbase, hook)()
    assert isinstance(component, Component)
    assert component.name == "coinbase"
    assert 0 < len(component.summary) < 80


def test_the_entry_module_imports_nothing_heavy() -> None:
    code = "import sys, k2_plugin_coinbase; print(*{'websockets', 'pyarrow', 'numpy', 'asyncio'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.split() == []


def test_the_source_is_small() -> None:
    """An exchange in an afternoon: every line counts, those of the local exchange and of docstrings too."""
    source = Path(__file__).parents[1] / "src"
    assert sum(len(path.read_text().splitlines()) for path in source.rglob("*.py")) < 350
