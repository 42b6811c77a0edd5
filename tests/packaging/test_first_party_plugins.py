"""What is installed here works, through the very entry points that users get."""

from __future__ import annotations

import pathlib

from k2core.discovery import discover
from k2core.discovery.registry import KNOWN

OURS = {path.parent.name for path in (pathlib.Path(__file__).parents[2] / "plugins").glob("*/pyproject.toml")}
WANTED = {
    ("broker", "embedded"): "k2core",
    ("broker", "kafka"): "k2-plugin-kafka",
    ("connector", "binance"): "k2-plugin-binance",
    ("normalizer", "binance"): "k2-plugin-binance",
    ("local-exchange", "binance"): "k2-plugin-binance",
    ("connector", "coinbase"): "k2-plugin-coinbase",
    ("normalizer", "coinbase"): "k2-plugin-coinbase",
    ("local-exchange", "coinbase"): "k2-plugin-coinbase",
    ("connector", "kraken"): "k2-plugin-kraken",
    ("normalizer", "kraken"): "k2-plugin-kraken",
    ("local-exchange", "kraken"): "k2-plugin-kraken",
    ("dedup-store", "memory"): "k2-plugin-memory",
    ("dedup-store", "redis"): "k2-plugin-redis",
    ("enricher", "notional"): "k2-plugin-notional",
    ("importer", "files"): "k2-plugin-files",
    ("data-type", "ticks"): "k2-plugin-ticks",
    ("sink", "iceberg"): "k2-plugin-iceberg",
    ("query-source", "iceberg"): "k2-plugin-iceberg",
    ("data-type", "trades"): "k2core",
    ("data-type", "quotes"): "k2core",
    ("data-type", "dead_letters"): "k2core",
}


def test_every_component_of_ours_is_found_once_and_works() -> None:
    found = {(e.kind, e.name): e.distribution for e in discover().entries if e.state == "ok"}
    assert {key: found.get(key) for key in WANTED} == WANTED


def test_nothing_of_ours_is_broken() -> None:
    ours = set(WANTED.values())
    assert [e for e in discover().broken if e.distribution in ours] == []


def test_core_knows_where_to_get_each_component_of_ours() -> None:
    offered = [e for e in discover().entries if e.distribution in OURS and e.kind in KNOWN]
    assert [e for e in offered if e.name not in KNOWN[e.kind] or e.distribution != f"k2-plugin-{e.name}"] == []
