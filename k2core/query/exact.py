"""Sums of doubles that are the same whatever the order: taken apart into whole numbers, which add up exactly.

A double is cut into digits of 30 bits, the lowest worth 2**-100. What a double of at least 2**-48 (3.6e-15) holds is
kept whole; of smaller ones, what lies below 2**-100 is cut off, of every row alike. Sums from 2**82 (4.8e24) on, or of
anything that is no number, are infinite. So no sum depends on where the rows came from, or in which pieces.

A total is rounded to 15 digits. Doubles hold every decimal of up to 15 digits, and the exact sum of the doubles lies
closer to the sum of the decimals than half a unit of the 15th digit: a total of up to 15 digits is the very number that
adding up what the exchange printed gives.
"""

from __future__ import annotations

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
    """Sums as doubles of 15 digits, infinite beyond the limit: float64[groups]."""
    found = np.zeros(digits.shape[1])
    for digit in digits[::-1]:
        found = found * 2.0**BITS + digit
    found = rounded(found * 2.0**LOWEST)
    beyond = np.abs(digits[-1]) >= _MOST
    found[beyond] = np.copysign(np.inf, found[beyond])
    return found


def rounded(values: Doubles) -> Doubles:
    """The doubles nearest to values written with 15 digits."""
    size = np.abs(values)
    usual = (size >= 1e-7) & (size < 1e22)
    known = np.where(usual, size, 1.0)
    power = np.searchsorted(_POWERS, known, "right") - 1 + _LEAST  # 10**power ≤ size < 10**(power + 1)
    shift = _SHOWN - 1 - power
    up, down = _TENS[np.clip(shift, 0, 22)], _TENS[np.clip(-shift, 0, 22)]
    found: Doubles = np.copysign(np.rint(known * up / down) / up * down, values)
    for at in np.flatnonzero(~usual).tolist():
        found[at] = float(f"{values[at]:.{_SHOWN}g}")
    return found


_LEAST = -7
_POWERS = np.array([float(f"1e{e}") for e in range(_LEAST, 23)])
