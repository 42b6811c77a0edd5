"""Columns that records share: words, ids, times. Each is built whole, or raises `UnsureError` and is looked at by rows."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.parsing.fields import TimeUnit
from k2core.parsing.numbers import Int64s, UnsureError
from k2core.parsing.refusals import Refusal

LAST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, Unix ms."""

FIRST_US = 100_000_000_000_000
"""Times from here on (March 1973, Unix µs) are believed to be µs: less is milliseconds that somebody took for µs."""

FIRST_MICROSECOND_OF_EITHER = 1_000_000_000_000_000
"""Where the unit is told by size: µs from here on (2001); between `LAST_MS` and this lies nothing valid."""

LAST_US = LAST_MS * 1000 + 999
MOST_CHARACTERS = 64
MOST_ID_CHARACTERS = 256
SIDES = ("buy", "sell")
_SIDE_CODES = {"buy": 0, "sell": 1}
_SIDE_WORDS = pa.array(SIDES)


def words(indices: npt.NDArray[np.int32], dictionary: pa.Array[Any]) -> pa.Array[Any]:
    """A column of few distinct words."""
    return pa.DictionaryArray.from_arrays(indices, dictionary)


def constant(word: str, rows: int) -> pa.Array[Any]:
    """One word, so many times."""
    return words(np.zeros(rows, np.int32), pa.array([word]))


def symbols(values: Sequence[str]) -> pa.Array[Any]:
    """Symbols, each distinct one kept once.

    Raises:
        UnsureError: One is no symbol.
    """
    try:
        names = {name: number for number, name in enumerate(dict.fromkeys(values))}
    except TypeError as error:
        raise UnsureError from error
    if any(symbol_refusal(name) for name in names):
        raise UnsureError
    indices = np.fromiter(map(names.__getitem__, values), np.int32, len(values))
    return words(indices, pa.array(list(names), pa.string()))


def symbol_refusal(symbol: object) -> Refusal | None:
    """Why a value can be no symbol, or None."""
    if not isinstance(symbol, str):
        return Refusal("wrong-type", f"a symbol is text, not {symbol!r:.40}")
    if 0 < len(symbol) <= MOST_CHARACTERS and symbol.isprintable():
        return None
    return Refusal("unknown-symbol", f"a symbol has 1 to {MOST_CHARACTERS} printable characters, not {symbol[:40]!r}")


def longs(values: Sequence[int], lowest: int = 0, *, typed: bool = False) -> Int64s:
    """Integers as int64; `typed` ones are known to be integers.

    Raises:
        UnsureError: One is below `lowest`, 2^63 or more, or no integer.
    """
    if not typed and set(map(type, values)) != {int}:
        raise UnsureError
    try:
        column = np.fromiter(values, np.int64, len(values))
    except OverflowError as error:
        raise UnsureError from error
    if column.min() < lowest:
        raise UnsureError
    return column


def long_refusal(name: str, value: object, lowest: int = 0) -> Refusal | None:
    """Why a value is no integer from `lowest` to 2^63 - 1, or None."""
    if type(value) is not int:
        return Refusal("wrong-type", f"{name} must be an integer, not {value!r:.40}")
    if lowest <= value < 1 << 63:
        return None
    return Refusal("bad-number", f"{name} must be from {lowest} to 2^63 - 1, not {short(value)}")


def ids(values: Sequence[str | int] | Int64s, *, typed: bool = False) -> pa.Array[Any]:
    """Ids as text; `typed` ones are known to be integers.

    Raises:
        UnsureError: One is negative, empty, too long or neither text nor an integer.
    """
    if typed or isinstance(values, np.ndarray):
        return pa.array(longs(values, typed=True)).cast(pa.string())  # type: ignore[arg-type]
    kinds = set(map(type, values))
    if kinds == {str}:
        lengths = set(map(len, values))  # type: ignore[arg-type]
        if min(lengths) == 0 or max(lengths) > MOST_ID_CHARACTERS or not all(v.isprintable() for v in values):  # type: ignore[union-attr]
            raise UnsureError
        return pa.array(values, pa.string())
    if kinds == {int}:
        return pa.array(longs(values, typed=True)).cast(pa.string())  # type: ignore[arg-type]
    if any(id_refusal("id", value) for value in values):
        raise UnsureError
    return pa.array(list(map(str, values)), pa.string())


def id_refusal(name: str, value: object) -> Refusal | None:
    """Why a value can be no id, or None."""
    if not isinstance(value, str):
        return long_refusal(name, value)
    if 0 < len(value) <= MOST_ID_CHARACTERS and value.isprintable():
        return None
    said = f"{name} must have 1 to {MOST_ID_CHARACTERS} printable characters, not {value[:40]!r}"
    return Refusal("missing-field" if not value else "wrong-type", said)


def sides(values: Sequence[str | None] | npt.NDArray[np.int32]) -> pa.Array[Any]:
    """Sides, from words or from codes (0: buy, 1: sell).

    Raises:
        UnsureError: One is neither `buy`, `sell` nor None.
    """
    if isinstance(values, np.ndarray):
        return words(values, _SIDE_WORDS)
    try:
        return words(np.fromiter(map(_SIDE_CODES.__getitem__, values), np.int32, len(values)), _SIDE_WORDS)  # type: ignore[arg-type]
    except (KeyError, TypeError):  # a None is rare: another way
        if not all(value is None or value in SIDES for value in values):
            raise UnsureError from None
        return pa.array(list(values), pa.string()).dictionary_encode()


def side_refusal(value: object) -> Refusal | None:
    """Why a value is no side, or None."""
    if value is None or value in SIDES:
        return None
    return Refusal("bad-side", f"side must be buy, sell or None, the taker's, not {value!r:.40}")


def times_us(values: Sequence[int], unit: TimeUnit = "us", *, typed: bool = False) -> Int64s:
    """Unix times as microseconds.

    Raises:
        UnsureError: One is out of range.
    """
    column = longs(values, 1, typed=typed)
    if unit == "us":
        if column.min() < FIRST_US or column.max() > LAST_US:
            raise UnsureError
        return column
    if column.max() <= LAST_MS:
        return column * 1000
    micro = column >= FIRST_MICROSECOND_OF_EITHER
    if unit == "ms" or column.max() > LAST_US or ((column > LAST_MS) & ~micro).any():
        raise UnsureError
    return np.where(micro, column, column * 1000)


def time_refusal(value: object, unit: TimeUnit = "us") -> Refusal | None:
    """Why a value is no time, or None."""
    if type(value) is not int:
        return Refusal("wrong-type", f"a time must be an integer, not {value!r:.40}")
    in_ms = 0 < value <= LAST_MS
    in_us = (FIRST_US if unit == "us" else FIRST_MICROSECOND_OF_EITHER) <= value <= LAST_US
    if (in_us and unit != "ms") or (in_ms and unit != "us"):
        return None
    wanted = {"us": "µs from 1973", "ms": "ms", "either": "ms or µs"}[unit]
    return Refusal("time-out-of-range", f"a time must be Unix {wanted} up to the year 9999, not {short(value)}")


def short(value: int | Decimal) -> str:
    """A number for a message; Python refuses to print the longest ones."""
    return str(value)[:40] if not isinstance(value, int) or value.bit_length() < 1000 else "a huge number"
