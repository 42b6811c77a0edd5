"""The test kit's own tests: the oracle finds every kind of difference, the clock moves as told, imports stay light."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pytest

from k2core.testing import ManualClock, compare

COLUMNS = ["exchange", "symbol", "trade_id", "price", "side"]


def row(number: int, price: float = 1.5, side: str | None = None) -> dict[str, object]:
    return {"exchange": "toy", "symbol": "AAA", "trade_id": str(number), "price": price, "side": side}


def table(*rows: dict[str, object]) -> pa.Table:
    kinds = {"price": pa.float64()}
    return pa.table({c: pa.array([r[c] for r in rows], kinds.get(c, pa.string())) for c in COLUMNS})


def key(number: int) -> tuple[str, str, str]:
    return ("toy", "AAA", str(number))


def test_equal_is_equal_in_any_order() -> None:
    report = compare([row(1), row(2)], table(row(2), row(1)), COLUMNS)
    assert report.ok
    assert (report.issued, report.stored) == (2, 2)
    assert "each issued once and stored once" in str(report)


def test_every_kind_of_difference_is_found() -> None:
    issued = [row(1), row(2), row(3), row(4, price=0.1)]
    stored = table(row(2), row(2), row(3, side="buy"), row(4, price=0.1 + 1e-18), row(9))
    report = compare(issued, stored, COLUMNS)
    assert report.missing == [key(1)]
    assert report.duplicates == [key(2)]
    assert report.differing == [(key(3), {"side": (None, "buy")})]
    assert report.unexpected == [key(9)]
    assert not report.ok
    for word in ("missing", "duplicates", "differing", "unexpected"):
        assert f"1 {word}" in str(report)


def test_types_and_the_last_bit_count() -> None:
    next_double = 1.5000000000000002
    assert compare([row(1)], table(row(1, price=next_double)), COLUMNS).differing
    assert compare([{**row(1), "price": 2}], table(row(1, price=2.0)), COLUMNS).differing


def test_the_oracle_refuses_to_guess() -> None:
    with pytest.raises(ValueError, match="issued twice"):
        compare([row(1), row(1)], table(row(1)), COLUMNS)
    with pytest.raises(ValueError, match="no columns"):
        compare([], table(row(1)), [*COLUMNS, "quantity"])
    with pytest.raises(ValueError, match="identity"):
        compare([], table(row(1)), ["exchange", "symbol"])
    assert compare([row(1)], table(row(1)), ["symbol"], identity=["trade_id"]).ok


def test_a_manual_clock_moves_only_as_told() -> None:
    clock = ManualClock(1_000)
    clock.advance(1.5)
    assert (clock.now_ns(), clock.monotonic()) == (1_500_001_000, 1.5)
    clock.set(7)
    assert (clock.now_ns(), clock.monotonic()) == (7, 1.5)
    with pytest.raises(ValueError, match="forwards"):
        clock.advance(-1)


def test_importing_the_kit_imports_nothing_heavy() -> None:
    code = (
        "import sys, k2core.testing as t; from k2core.testing import Dialect, FakeExchange, LocalExchange;"
        "print([m for m in ('websockets', 'pyarrow', 'numpy', 'httpx2') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_names_of_the_kit_are_all_there_and_no_others() -> None:
    import k2core.testing

    assert all(getattr(k2core.testing, name) for name in k2core.testing.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = k2core.testing.nonsense
