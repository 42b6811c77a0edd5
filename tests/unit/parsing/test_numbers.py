"""Decimal text becomes a double exactly, or not at all; the whole column and its rows one by one say the same."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k2core.parsing.numbers import UnsureError, doubles, number_refusal

BAD = [
    *(
        "NaN",
        "nan",
        "Infinity",
        "-Infinity",
        "inf",
        "+1.0",
        "0x10",
        "1_000",
        "",
        " ",
        ".",
        "1.",
        ".5",
        "1.2.3",
        " 1",
        "1 ",
    ),
    *(
        "1,5",
        "١٢",
        "abc",
        "--1",
        "1.0\n",
        "0.0\u0000",
        "1e",
        "e5",
        "1e5.5",
        "1e1000",
        "1e-1000",
        "1/2",
        "1e99999999999",
        "1\ud800",
    ),
]
INEXACT = [
    *("12345678901234567890", "0.12345678901234567891", "61837.6300000000000000001", "9" * 309, "9" * 5000),
    *("0." + "0" * 400 + "1", "9007199254740993", "1e999", "1e-999", "1.2345678901234567891e5"),
]
GOOD = [
    "0",
    "1",
    "1.5",
    "0.000",
    "61837.63000000",
    "1e5",
    "1E-8",
    "2.5e+3",
    "123456789012345",
    "0.10000000000000000000000",
]


@pytest.mark.parametrize("text", GOOD)
def test_good_numbers_are_exact(text: str) -> None:
    assert number_refusal("price", text) is None
    assert doubles([["7", text, "8.25"]])[0].to_pylist() == [7.0, float(Decimal(text)), 8.25]


@pytest.mark.parametrize("text", [*BAD, "-1.5", "-1"])
def test_bad_numbers_are_refused(text: str) -> None:
    refusal = number_refusal("price", text)
    assert refusal is not None
    assert refusal.reason == "bad-number"
    with pytest.raises(UnsureError):
        doubles([["7", text, "8.25"]])


@pytest.mark.parametrize("text", INEXACT)
def test_inexact_numbers_are_refused(text: str) -> None:
    refusal = number_refusal("price", text)
    assert refusal is not None
    assert refusal.reason == "inexact-number"
    with pytest.raises(UnsureError):
        doubles([["7", text]])


@pytest.mark.parametrize("value", [1.5, 1, None, True, ["1.0"]])
def test_what_is_no_text_is_refused(value: object) -> None:
    refusal = number_refusal("price", value)
    assert refusal is not None
    assert refusal.reason == "wrong-type"
    with pytest.raises(UnsureError):
        doubles([["7", value, "8.25"]])  # type: ignore[list-item]


def test_signs_and_zeros_are_allowed_where_said() -> None:
    assert doubles([["-1.5", "0", "-2e3"]], negative=True)[0].to_pylist() == [-1.5, 0.0, -2000.0]
    assert number_refusal("price", "-1.5", negative=True) is None
    assert number_refusal("price", "0", zero=False) is not None
    with pytest.raises(UnsureError):
        doubles([["1", "0"]], zero=False)


def test_decimals_stand_for_their_text() -> None:
    values = [Decimal("1.10"), Decimal("1E-8"), "2.5", Decimal(100), b"7.5"]
    assert doubles([values])[0].to_pylist() == [1.1, 1e-8, 2.5, 100.0, 7.5]
    assert doubles([[b"1e5", b"2.5"]])[0].to_pylist() == [1e5, 2.5]
    for bad in (Decimal("NaN"), Decimal("0.12345678901234567891"), Decimal("-1")):
        with pytest.raises(UnsureError):
            doubles([[*values, bad]])


digits = st.text("0123456789", min_size=1, max_size=22)
decimals = st.one_of(
    st.builds("{}.{}".format, digits, digits), digits, st.decimals(allow_nan=False).map(str), st.text(".e-+0123456789")
)


@settings(max_examples=300, deadline=None)
@given(st.lists(decimals, min_size=1, max_size=8))
def test_the_column_and_its_rows_agree(texts: list[str]) -> None:
    refused = [text for text in texts if number_refusal("price", text) is not None]
    if refused:
        with pytest.raises(UnsureError):
            doubles([texts])
        return
    for text, value in zip(texts, doubles([texts])[0].to_pylist(), strict=True):
        assert Decimal(repr(value)) == Decimal(text)
