"""Columns that trades and quotes share: words, ids, times and where a record comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2_plugin_binance.frames import Refusal
from k2_plugin_binance.numbers import UnsureError

Int64s = npt.NDArray[np.int64]

WORDS = pa.dictionary(pa.int32(), pa.string())
"""Type of a string column of few distinct values."""

LAST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, Unix ms."""

FIRST_US = 1_000_000_000_000_000
"""Times from here on (the year 2001, Unix µs) are microseconds; between `LAST_MS` and this lies nothing valid."""

LAST_US = LAST_MS * 1000 + 999
MAX_SYMBOL_CHARACTERS = 64

_EXCHANGE = pa.array(["binance"])
_LIVE = pa.array(["live"])


def ids(values: Sequence[int]) -> Int64s:
    """Ids as int64.

    Raises:
        UnsureError: One is negative or 2^63 or more.
    """
    try:
        column = np.fromiter(values, np.int64, len(values))
    except OverflowError as error:
        raise UnsureError from error
    if column.min() < 0:
        raise UnsureError
    return column


def times_us(values: Sequence[int]) -> Int64s:
    """Unix times of either unit as microseconds.

    Raises:
        UnsureError: One is out of range.
    """
    column = ids(values)
    if column.min() > 0 and column.max() <= LAST_MS:
        return column * 1000
    micro = column >= FIRST_US
    if column.min() <= 0 or column.max() > LAST_US or ((column > LAST_MS) & ~micro).any():
        raise UnsureError
    return np.where(micro, column, column * 1000)


def time_refusal(name: str, value: int) -> Refusal | None:
    """Why an integer is no time, or None: milliseconds or microseconds after 1970 and before the year 10000."""
    if 0 < value <= LAST_MS or FIRST_US <= value <= LAST_US:
        return None
    return Refusal("time-out-of-range", f"{name} must be Unix ms or µs up to the year 9999, not {str(value)[:40]}")


def symbols(values: Sequence[str]) -> pa.Array[Any]:
    """Symbols, each distinct one kept once.

    Raises:
        UnsureError: One is empty, too long or not printable.
    """
    names = {name: number for number, name in enumerate(dict.fromkeys(values))}
    if any(symbol_refusal(name) for name in names):
        raise UnsureError
    indices = np.fromiter(map(names.__getitem__, values), np.int32, len(values))
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))


def symbol_refusal(symbol: str) -> Refusal | None:
    """Why a text can be no symbol, or None."""
    if 0 < len(symbol) <= MAX_SYMBOL_CHARACTERS and symbol.isprintable():
        return None
    return Refusal("unknown-symbol", f"a symbol has 1 to 64 printable characters, not {symbol[:40]!r}")


def exchange(rows: int) -> pa.Array[Any]:
    """`binance`, so many times."""
    return words(np.zeros(rows, np.int32), _EXCHANGE)


def live(rows: int) -> pa.Array[Any]:
    """`live`, so many times: these records came over a socket."""
    return words(np.zeros(rows, np.int32), _LIVE)


def words(indices: npt.NDArray[np.int32], dictionary: pa.Array[Any]) -> pa.Array[Any]:
    """A column of few distinct words."""
    return pa.DictionaryArray.from_arrays(indices, dictionary)


def texts(numbers: Int64s) -> pa.Array[Any]:
    """Ids as decimal text."""
    return pa.array(numbers).cast(pa.string())
