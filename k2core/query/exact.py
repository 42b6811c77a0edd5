"""Sums of doubles that are the same whatever the order: taken apart into whole numbers, which add up exactly.

A double is cut into digits of 30 bits, the lowest worth 2**-100. What a double of at least 2**-48 (3.6e-15) holds is
kept whole; of smaller ones, what lies below 2**-100 is cut off, of every row alike. Sums from 2**82 (4.8e24) on, or of
anything that is no number, are infinite. So no sum depends on where the rows came from, or in which pieces.

A total is rounded once, from the exact sum, to 15 digits. Doubles hold every decimal of up to 15 digits, and the exact
sum of the doubles lies closer to the sum of the decimals than half a unit of the 15th digit: a total of up to 15 digits
is the very number that adding up what the exchange printed gives.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal

import numpy as np
import numpy.typing as npt

Longs = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

BITS = 30
DIGITS = 6
LOWEST = -100
LIMIT = 2.0**82
_MASK = (1 << BITS) - 1
_MOST, _BEYOND = 1 << 32, 1 << 36
_WEIGHTS = np.array([2.0 ** (LOWEST + BITS * at) for at in range(DIGITS)])
_TENS = np.array([10.0**e for e in range(23)])
_SHOWN = 15


def digits_of(values: Doubles, starts: npt.NDArray[np.intp]) -> Longs:
    """Exact sums of groups of doubles, as digits.

    Args:
        values: float64[n], n ≥ 1.
        starts: Where each group begins; rising, each group with at least one value.

    Returns:
        int64[6, groups], lowest digit first; all but the highest between 0 and 2**30.
    """
    size = np.fmin(np.abs(values), LIMIT)  # what is no number counts as too large
    high = np.floor(size * 2.0**-20)
    rest = (size - high * 2.0**20) * 2.0**40
    middle = np.floor(rest)
    low = np.floor((rest - middle) * 2.0**60)
    sign = np.where(values < 0, -1, 1)
    beyond = np.where(size >= LIMIT, _BEYOND, 0)
    found = np.empty((DIGITS, len(starts)), np.int64)
    for at, (part, more) in enumerate(((low, 0), (middle, 0), (high, beyond))):
        whole = part.astype(np.int64) * sign
        found[2 * at] = np.add.reduceat(whole & _MASK, starts)
        found[2 * at + 1] = np.add.reduceat((whole >> BITS) + more * sign, starts)
    for at in range(DIGITS - 1):
        found[at + 1] += found[at] >> BITS
        found[at] &= _MASK
    return found


def parts_of(digits: Longs) -> Doubles:
    """Doubles whose exact sum is what digits stand for: float64[groups, 6]."""
    found: Doubles = digits.T * _WEIGHTS
    return found


def totals_of(digits: Longs) -> Doubles:
    """Sums as doubles of 15 digits, infinite beyond the limit: float64[groups]. Rounded once, half to even."""
    high = low = np.zeros(digits.shape[1])
    for digit in digits[::-1]:
        high, lost = _added(high * 2.0**BITS, digit.astype(np.float64))
        low = low * 2.0**BITS + lost
    high, low = _added(high, low)
    found, unsure = _rounded(high * 2.0**LOWEST, low * 2.0**LOWEST)
    beyond = np.abs(digits[-1]) >= _MOST
    for at in np.flatnonzero(unsure & ~beyond).tolist():
        whole = sum(digit << BITS * place for place, digit in enumerate(digits[:, at].tolist()))
        found[at] = float(_SHORT.divide(Decimal(whole), Decimal(1 << -LOWEST)))
    found[beyond] = np.copysign(np.inf, high[beyond])
    return found


def rounded(values: Doubles) -> Doubles:
    """The doubles nearest to values written with 15 digits."""
    found, unsure = _rounded(values, np.zeros_like(values))
    for at in np.flatnonzero(unsure).tolist():
        found[at] = float(f"{values[at]:.{_SHOWN}g}")
    return found


def _rounded(high: Doubles, low: Doubles) -> tuple[Doubles, npt.NDArray[np.bool_]]:
    """`high + low` to 15 digits, and where that is unsure: too close to a tie, or of an unusual size.

    What doubles lose on the way is worked out with them, so that 30 digits count; no double alone tells 15 from a tie.
    """
    size = np.abs(high)
    usual = (size >= 1e-7) & (size < 1e22)
    known, low = np.where(usual, size, 1.0), np.where(usual, np.where(high < 0, -low, low), 0.0)
    power = np.searchsorted(_POWERS, known, "right") - 1 + _LEAST  # 10**power ≤ size < 10**(power + 1)
    shift = _SHOWN - 1 - power
    up, down = _TENS[np.clip(shift, 0, 22)], _TENS[np.clip(-shift, 0, 22)]
    whole = np.rint(known * up / down)
    wanted, wanted_lost = _multiplied(known, up)
    given, given_lost = _multiplied(whole, down)
    rest = ((wanted - given) + (wanted_lost - given_lost + low * up)) / down
    whole += np.rint(rest)
    found: Doubles = np.copysign(whole / up * down, high)
    return found, ~usual | (np.abs(np.abs(rest) - 0.5) < _TIE)


def _added(a: Doubles, b: Doubles) -> tuple[Doubles, Doubles]:
    """Sums, and exactly what they lost (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _multiplied(a: Doubles, b: Doubles) -> tuple[Doubles, Doubles]:
    """Products, and exactly what they lost (Dekker)."""
    (a_high, a_low), (b_high, b_low), product = _halves(a), _halves(b), a * b
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _halves(values: Doubles) -> tuple[Doubles, Doubles]:
    shifted = values * _SPLIT
    high = shifted - (shifted - values)
    return high, values - high


_LEAST = -7
_POWERS = np.array([float(f"1e{e}") for e in range(_LEAST, 23)])
_SPLIT = 2.0**27 + 1
_TIE = 1e-6
_SHORT = Context(prec=_SHOWN, rounding=ROUND_HALF_EVEN)
