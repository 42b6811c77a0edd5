"""A total is the exact sum, rounded once to 15 digits: as whole numbers and decimals of any length say."""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k2core.query.exact import digits_of, rounded, totals_of

GROUP, GROUPS = 8, 3000
SHORT = Context(prec=15)


def wanted(values: list[float]) -> float:
    """The exact sum, rounded once."""
    exact = sum(map(Fraction, values))
    return float(SHORT.divide(Decimal(exact.numerator), Decimal(exact.denominator)))


def total(*values: float) -> float:
    return float(totals_of(digits_of(np.array(values), np.array([0])))[0])


def test_notionals_of_any_digits_are_rounded_once() -> None:
    dice = np.random.default_rng(11)
    prices, quantities = dice.integers(100, 10**7, (GROUPS, GROUP)) / 100, dice.integers(10**5, 10**9, (GROUPS, GROUP))
    amounts = prices * (quantities / 1e8)
    found = totals_of(digits_of(amounts.ravel(), np.arange(0, GROUPS * GROUP, GROUP)))
    assert found.tolist() == [wanted(row) for row in amounts.tolist()]


@pytest.mark.parametrize(
    ("values", "rounds_to"),
    [
        ([1000000000000005.0], 1000000000000000.0),  # a tie goes to the even digit
        ([1000000000000015.0], 1000000000000020.0),
        ([1000000000000005.0, 2.0**-60], 1000000000000010.0),  # no tie, which no double of the sum tells
        ([1000000000000015.0, -(2.0**-60)], 1000000000000010.0),
        ([-1000000000000005.0, -(2.0**-60)], -1000000000000010.0),
        ([999999999999999.5], 1000000000000000.0),
        ([999999999999999.5, -(2.0**-60)], 999999999999999.0),
        ([1.0, 1.5e-15], 1.0),
        ([123456789012344.5, 2.0**-90], 123456789012345.0),
        ([5e-8, 2.0**-90], 5e-8),
        ([1e23, 2.0**70], 1.01180591620717e23),
        ([0.0, -0.0], 0.0),
    ],
)
def test_ties_and_what_is_next_to_them(values: list[float], rounds_to: float) -> None:
    assert (total(*values), wanted(values)) == (rounds_to, rounds_to)


def test_fifteen_digits_and_no_more_are_told() -> None:
    assert total(1.23456789012345, 4e-15) == 1.23456789012345
    assert total(1.23456789012345, 6e-15) == 1.23456789012346
    assert rounded(np.array([1.234567890123454, 0.1 + 0.2])).tolist() == [1.23456789012345, 0.3]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(2.0**-48, 1e20) | st.floats(-1e20, -(2.0**-48)), min_size=1, max_size=9))
def test_any_sum_is_rounded_once(values: list[float]) -> None:
    assert total(*values) == wanted(values)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_any_double_is_rounded_once(values: list[float]) -> None:
    assert rounded(np.array(values)).tolist() == [float(f"{value:.15g}") for value in values]
