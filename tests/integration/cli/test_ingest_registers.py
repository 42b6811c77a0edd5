"""`k2 ingest` registers its tables' writers before it appends: retention keeps what they have not committed."""

from __future__ import annotations

import pathlib
from types import SimpleNamespace
from typing import Any

import pytest

from k2core.cli.ingest import prepare
from k2core.config import load_config
from k2core.config.build import Assembly
from k2core.discovery import discover


def test_every_table_is_registered_for_its_topics(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "k2.toml"
    file.write_text('[connectors.binance]\nsymbols = ["BTCUSDT"]\n[sinks.one]\nuse = "iceberg"\n')
    assembly = Assembly(load_config(file, env={}), discover())
    asked: list[tuple[str, tuple[str, ...]]] = []
    with assembly.broker() as log:
        monkeypatch.setattr(log, "register", lambda name, topics: asked.append((name, tuple(topics))))
        process: Any = SimpleNamespace(assembly=assembly)
        prepare(process, log)
        assert set(log.topics()) >= {topic for _, topics in asked for topic in topics}
    assert sorted(asked) == [
        ("one.market.quotes", ("market.crypto.quotes.binance",)),
        ("one.market.trades", ("market.crypto.trades.binance",)),
    ]
