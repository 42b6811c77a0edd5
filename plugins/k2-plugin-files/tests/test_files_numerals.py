"""Numbers of files: exact, or refused."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from k2_plugin_files.numerals import doubles, longs


@given(st.decimals("-1000000000", "1000000000", places=6), st.integers(-6, 6))
def test_a_scaled_number_is_the_nearest_double(value: Decimal, power: int) -> None:
    found, bad, inexact = doubles(pa.array([format(value, "f")]), power)
    exact = Decimal(format(value, "f")) * Decimal(10) ** power
    assert (found[0], bad[0]) == (float(exact), False)
    assert inexact[0] == (Decimal(repr(float(exact))) != exact)


@pytest.mark.parametrize(
    "text", ["", "abc", "1,000", "0x10", "nan", "inf", "1_0", "--1", "1e400", "1e", ".", "1 2", "１"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    _, bad, _ = doubles(pa.array([text]), 0)
    assert bad.tolist() == [True]


@pytest.mark.parametrize("text", ["123456789012345678.5", "0.1234567890123456789", "1e-400", "9007199254740993"])
def test_what_a_double_cannot_hold_is_refused(text: str) -> None:
    _, bad, inexact = doubles(pa.array([text]), 0)
    assert (bad.tolist(), inexact.tolist()) == ([False], [True])


def test_long_but_exact_numbers_pass() -> None:
    values, bad, inexact = doubles(pa.array(["0.30000000000000004", "00012.500000000000000000", "4.5e3", "+.5"]), -2)
    assert not bad.any()
    assert not inexact[1:].any()
    assert values[1:].tolist() == [0.125, 45.0, 0.005]


def test_whole_numbers() -> None:
    values, bad = longs(pa.array(["17", "+3", "-4", "1.0", "", "99999999999999999999", None]))
    assert (values.tolist(), bad.tolist()) == ([17, 3, -4, 0, 0, 0, 0], [False] * 3 + [True] * 4)


@pytest.mark.parametrize("start", [0, 1, 8, 17, 100])
def test_a_slice_is_read_as_it_is_whatever_version_of_arrow_reads_it(start: int) -> None:
    """Arrow 20 to 22 read other bytes of a slice (`if_else`); `nox -s lowest` runs this on 20."""
    texts = pa.array([str(4500 + n) for n in range(200)]).slice(start, 50)
    values, bad, _ = doubles(texts, -2)
    assert values.tolist() == [(4500 + start + n) / 100 for n in range(50)]
    assert not bad.any()
    assert longs(texts)[0].tolist() == [4500 + start + n for n in range(50)]
