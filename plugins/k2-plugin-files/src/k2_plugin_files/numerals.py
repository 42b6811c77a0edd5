"""Texts to numbers, whole columns at a time: exact, or refused.

A price is the double nearest to the printed decimal, and the shortest text of that double must be the printed decimal
again; up to 15 digits it always is. A scale is a power of ten and goes into the exponent, so that it is exact too:
`4512.5` cents are the double nearest to 45.125, not a product that was rounded twice.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

NUMERAL = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
SAFE_DIGITS = 15
WHOLE_BITS = {16: 11, 32: 24, 64: 53}
"""By a floating point type's bits, below which power of two every whole number has one of its own."""
Mask = npt.NDArray[np.bool_]


def chosen(condition: Any, yes: Any, no: Any) -> Any:
    """Arrow's `if_else` on texts: Arrow 20 to 22 at least read the wrong bytes of an array that is a slice."""
    return pc.if_else(condition, *(_unsliced(one) for one in (yes, no)))


def _unsliced(texts: Any) -> Any:
    return pa.concat_arrays([texts, texts.slice(0, 0)]) if isinstance(texts, pa.Array) and texts.offset else texts


def doubles(texts: Any, power: int) -> tuple[npt.NDArray[np.float64], Mask, Mask]:
    """Numbers of n texts, times 10**power.

    Args:
        texts: An Arrow string array; nulls are no numbers.
        power: The scale's exponent.

    Returns:
        float64[n] (NaN where there is none), which are no numbers, and which would not be exact.
    """
    numeral = pc.fill_null(pc.match_substring_regex(texts, NUMERAL), False)
    plain = chosen(numeral, texts, pa.scalar(None, pa.string()))
    scaled = plain if not power else _scaled(plain, power)
    values = pc.fill_null(scaled.cast(pa.float64()), float("nan")).to_numpy(zero_copy_only=False).copy()
    bad = ~numeral.to_numpy(zero_copy_only=False) | np.isinf(values)
    digits = pc.utf8_trim(pc.replace_substring_regex(pc.replace_substring_regex(plain, "[eE].*", ""), r"\D", ""), "0")
    length = pc.fill_null(pc.utf8_length(digits), 0).to_numpy(zero_copy_only=False)
    doubtful = ~bad & ((length > SAFE_DIGITS) | ((length > 0) & (np.abs(values) < 1e-290)))
    for at in np.flatnonzero(doubtful).tolist():
        doubtful[at] = Decimal(texts[at].as_py()) != Decimal(repr(float(values[at]))).scaleb(-power)
    values[bad] = np.nan
    return values, bad, doubtful


def _scaled(texts: Any, power: int) -> Any:
    """Texts with the power added to their exponents."""
    if pc.any(pc.match_substring_regex(texts, "[eE]")).as_py():
        return pa.array([None if t is None else _shifted(t, power) for t in texts.to_pylist()], pa.string())
    return pc.binary_join_element_wise(texts, pa.scalar(f"e{power}"), "")


def _shifted(text: str, power: int) -> str:
    mantissa, _, exponent = text.lower().partition("e")
    return f"{mantissa}e{int(exponent or 0) + power}"


def longs(texts: Any) -> tuple[npt.NDArray[np.int64], Mask]:
    """Whole numbers of n texts: int64[n] (0 where there is none), and which are none."""
    whole = pc.fill_null(pc.match_substring_regex(texts, r"^[+-]?\d{1,18}$"), False)
    plain = chosen(whole, texts, pa.scalar("0"))
    values = pc.replace_substring_regex(plain, r"^\+", "").cast(pa.int64()).to_numpy(zero_copy_only=False)
    return values, ~whole.to_numpy(zero_copy_only=False)


def whole_numbers(column: Any, name: str, broken: dict[int, tuple[str, str]]) -> Any:
    """Floating point numbers that stand for whole ones, as their digits: `1081862675`, not `1.081862675e+09`.

    Args:
        column: n of them.
        name: The column's, for the reason.
        broken: By index, gets reason and detail of those that are not whole, or so great that they may stand for a
            neighbour: two ids would become one.

    Returns:
        n texts; those of refused ones are as Arrow prints them.
    """
    bits = WHOLE_BITS[column.type.bit_width]
    values = pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy(zero_copy_only=False)
    great = np.abs(values) >= 2.0**bits
    bad = great | (values != np.trunc(values))  # NaN differs from itself
    for at in np.flatnonzero(bad).tolist():
        about, inexact = f"column {name!r} is the double {float(values[at])!r}", great[at] and np.isfinite(values[at])
        if inexact:
            about += f": from 2^{bits} on it may stand for its neighbour; write integers or texts"
        broken.setdefault(
            at, ("inexact-number", about) if inexact else ("bad-number", f"{about}: wanted a whole number")
        )
    digits: Any = pa.array(np.where(bad, 0, values).astype(np.int64)).cast(pa.string())
    nothing = pa.scalar(None, pa.string())
    return chosen(pa.array(bad), column.cast(pa.string()), chosen(column.is_valid(), digits, nothing))
