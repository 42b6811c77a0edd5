"""What is installed here works, through the very entry points that users get."""

from __future__ import annotations

from k2core.discovery import discover

WANTED = {
    ("broker", "embedded"): "k2core",
    ("connector", "binance"): "k2-plugin-binance",
    ("normalizer", "binance"): "k2-plugin-binance",
    ("local-exchange", "binance"): "k2-plugin-binance",
    ("dedup-store", "memory"): "k2-plugin-memory",
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
