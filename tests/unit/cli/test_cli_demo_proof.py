"""The demo's comparison has teeth: every kind of difference is seen."""

from __future__ import annotations

from typing import Any

import pytest

from k2core.cli.demo_exchange import toml
from k2core.cli.demo_proof import compare
from k2core.cli.dlq import source_of
from k2core.cli.view import numbers
from k2core.telemetry.status import Status


def trade(number: int, **more: Any) -> dict[str, Any]:
    return {"exchange": "x", "symbol": "A", "trade_id": str(number), "price": 1.5, **more}


def row(number: int, **more: Any) -> dict[str, Any]:
    return trade(number, log_offset=number, **more)


ISSUED = [trade(n) for n in range(5)]


def test_equal_holds() -> None:
    proof = compare("trades", "trade_id", ISSUED, [row(n) for n in range(5)], 3)
    assert proof.holds
    assert (proof.issued, proof.stored, proof.commits) == (5, 5, 3)


@pytest.mark.parametrize(("rows", "field"), [
    ([row(n) for n in range(4)], "missing"),
    ([row(n) for n in (0, 1, 2, 3, 4, 4)], "duplicates"),
    ([row(n) for n in range(6)], "foreign"),
    ([row(0, price=1.25), *(row(n) for n in range(1, 5))], "different"),
    ([row(0, price=None), *(row(n) for n in range(1, 5))], "different"),
    ([], "missing"),
])  # fmt: skip
def test_differences_are_seen(rows: list[dict[str, Any]], field: str) -> None:
    proof = compare("trades", "trade_id", ISSUED, rows, 1)
    assert not proof.holds
    assert getattr(proof, field) == (5 if not rows else 1)


def test_settings_as_toml() -> None:
    import tomllib

    value = {"a": 'x"y\\', "b": 1, "c": True, "d": ["p", "q"], "e": 0.5}
    text = "\n".join(f"{k} = {toml(v)}" for k, v in value.items())
    assert tomllib.loads(text) == value


def test_dead_letters_of_one_origin_are_one() -> None:
    admit = {"exchange": "x", "stage": "admit", "origin": "t/0/7", "exchange_timestamp_ms": 1}
    frame = {"exchange": "x", "stage": "normalize", "origin": "0/7", "exchange_timestamp_ms": 1}
    assert source_of(admit) == source_of({**admit, "exchange_timestamp_ms": 2})
    assert source_of(frame) != source_of({**frame, "exchange_timestamp_ms": 2})
    assert source_of(frame) == source_of(dict(frame))


def test_figures_come_from_the_status_files() -> None:
    values = [
        ("k2_writer_records_total", [("data_type", "trades"), ("outcome", "stored")], 7.0),
        ("k2_writer_records_total", [("data_type", "quotes"), ("outcome", "stored")], 3.0),
        ("k2_writer_records_total", [("data_type", "trades"), ("outcome", "duplicate")], 2.0),
    ]
    found = numbers({"write": Status("write", 1, 2, "running", values=values)})
    assert (found.stored, found.duplicates, found.records) == (10, 2, 0)
    assert "stored 10" in found.line
    assert "MISSING" not in found.line
