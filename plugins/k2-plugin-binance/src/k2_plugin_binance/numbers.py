"""Prices and quantities: decimal text to doubles, exactly or not at all.

A double holds every decimal of up to 15 significant digits: text of at most 16 characters with one point is safe
without a look. Longer text is compared digit for digit (text → double → text). Nothing is ever rounded silently.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from k2_plugin_binance.frames import Refusal

_PLAIN = re.compile(r"[0-9]+(\.[0-9]+)?")
_SAFE_CHARACTERS = 16
_MAX_CHARACTERS = 400  # the widest double in plain decimals has 309 + 17 digits; what is longer is not looked at
_POINT = ord(".")
_POINT_TO_NINE = ord("9") - _POINT


class UnsureError(Exception):
    """A column as a whole is not certainly sound: look at its rows one by one."""


def number_refusal(name: str, text: str, *, zero: bool) -> Refusal | None:
    """Why a text is no good price or quantity, or None.

    Args:
        name: The field, for the message.
        text: As the exchange sent it.
        zero: Whether 0 is allowed.
    """
    if not _PLAIN.fullmatch(text):
        return Refusal("bad-number", f"{name} must be a plain decimal number, not {text[:40]!r}")
    if not _survives(text):
        return Refusal("inexact-number", f"{name} {text[:40]!r} does not survive text → double → text")
    if not zero and float(text) == 0:
        return Refusal("bad-number", f"{name} must be greater than zero, not {text[:40]!r}")
    return None


def id_refusal(name: str, value: int) -> Refusal | None:
    """Why an integer is no id, or None: ids are 0 … 2^63 - 1."""
    if 0 <= value < 1 << 63:
        return None
    return Refusal("bad-number", f"{name} must be an id from 0 to 2^63 - 1, not {str(value)[:40]}")


def _survives(text: str) -> bool:
    return len(text) <= _MAX_CHARACTERS and Decimal(text) == Decimal(repr(float(text)))


def doubles(fields: Sequence[list[str]], *, zero: bool, looked_at: bool) -> list[pa.Array[Any]]:
    """Decimal texts to columns of doubles, vectorised over all fields together.

    Args:
        fields: Lists of n > 0 texts each.
        zero: Whether 0 is allowed.
        looked_at: The caller has asked `number_refusal` about each: no further tests.

    Raises:
        UnsureError: Some text may be bad.
    """
    texts = [text for field in fields for text in field]
    column = pa.array(texts, pa.string())
    if not looked_at:
        _require_plain(column, texts)
    try:
        values = column.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid as error:  # two points in one text and none in another
        raise UnsureError from error
    if not looked_at and not zero and not values.min() > 0:
        raise UnsureError
    return [pa.array(part) for part in values.reshape(len(fields), -1)]


def _require_plain(column: pa.Array[Any], texts: list[str]) -> None:
    """Pass only digits and points, a digit at both ends, as many points as texts, and digits that survive."""
    buffers: list[Any] = column.buffers() if isinstance(column, pa.StringArray) else []
    if not buffers:  # over 2 GiB of digits: a chunked array
        raise UnsureError
    _, offset_bytes, data_bytes = buffers
    offsets = np.frombuffer(offset_bytes, np.int32, len(texts) + 1)
    first, end = offsets[:-1], offsets[1:]
    sizes = end - first
    if not sizes.min() > 0:
        raise UnsureError
    data = np.frombuffer(data_bytes, np.uint8, int(offsets[-1]))
    points = data == _POINT
    if (
        (data - _POINT).max() > _POINT_TO_NINE  # below the point wraps around; the slash in between fails the cast
        or np.count_nonzero(points) != len(texts)
        or points[first].any()
        or points[end - 1].any()
    ):
        raise UnsureError
    if sizes.max() > _SAFE_CHARACTERS:
        for row in np.flatnonzero(sizes > _SAFE_CHARACTERS).tolist():
            if not _survives(texts[row]):
                raise UnsureError
