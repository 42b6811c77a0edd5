"""Prices and quantities: decimal text to doubles, exactly or not at all.

A double holds every decimal of up to 15 significant digits: text of at most 15 digits, with or without a point, is safe
without a look. What is longer or has an exponent is compared with what would be stored. Nothing is ever rounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.parsing.refusals import Refusal

_FORM = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_SIGNED_FORM = re.compile("-?" + _FORM.pattern)
_SAFE_DIGITS = 15
_MOST_CHARACTERS = 400  # the widest double in plain decimals has 309 + 17 digits; what is longer is not looked at
_POINT = ord(".")
_POINT_TO_NINE = ord("9") - _POINT

Int64s = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


class UnsureError(Exception):
    """A column as a whole is not certainly sound: look at its rows one by one."""


def number_refusal(name: str, value: object, *, zero: bool = True, negative: bool = False) -> Refusal | None:
    """Why a value is no good number, or None.

    Args:
        name: The column, for the message.
        value: Decimal text or a `Decimal`.
        zero: Whether 0 is allowed.
        negative: Whether less than 0 is.
    """
    text = _text(value)
    if text is None:
        return Refusal("wrong-type", f"{name} must be decimal text or a Decimal, not {value!r:.40}")
    if not (_SIGNED_FORM if negative else _FORM).fullmatch(text):
        return Refusal("bad-number", f"{name} must be a decimal number, not {text[:40]!r}")
    if not _survives(text):
        return Refusal("inexact-number", f"{name} {text[:40]!r} does not survive text → double → text")
    if not zero and float(text) == 0:
        return Refusal("bad-number", f"{name} must be greater than zero, not {text[:40]!r}")
    return None


def _text(value: object) -> str | None:
    """Decimal text; bytes are taken as text too, for Arrow takes them so."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, Decimal) else value.decode("latin-1") if isinstance(value, bytes) else None


def _survives(text: str) -> bool:
    return len(text) <= _MOST_CHARACTERS and Decimal(text) == Decimal(repr(float(text)))


def doubles(
    fields: Sequence[Iterable[str | Decimal]], *, zero: bool = True, negative: bool = False, looked_at: bool = False
) -> list[pa.Array[Any]]:
    """Numbers to columns of doubles, vectorised over all fields together.

    Args:
        fields: Lists of n > 0 texts or `Decimal`s each.
        zero: Whether 0 is allowed.
        negative: Whether less than 0 is.
        looked_at: The caller has asked `number_refusal` about each: no further tests.

    Raises:
        UnsureError: Some number may be bad.
    """
    texts: list[Any] = [text for field in fields for text in field]
    try:
        column = pa.array(texts, pa.string())
    except (pa.ArrowTypeError, pa.ArrowInvalid, UnicodeEncodeError):  # Decimals among them, or what is no UTF-8
        texts = _as_text(texts)
        column = pa.array(texts, pa.string())
    if not looked_at:
        _require_plain(column, texts, _SIGNED_FORM if negative else _FORM)
    try:
        values = column.cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:  # as two points in one text
        raise UnsureError from error
    if not looked_at and not zero and not values.min() > 0:
        raise UnsureError
    return [pa.array(part) for part in values.reshape(len(fields), -1)]


def _as_text(values: Sequence[object]) -> list[str]:
    texts = [text for value in values if (text := _text(value)) is not None and text.isascii()]
    if len(texts) != len(values):
        raise UnsureError
    return texts


def _require_plain(column: pa.Array[Any], texts: list[str], form: re.Pattern[str]) -> None:
    """Pass texts of digits with at most one point (the cast sees to that), a digit at both ends, that survive."""
    buffers: list[Any] = column.buffers() if isinstance(column, pa.StringArray) and not column.null_count else []
    if not buffers:  # a null, or over 2 GiB of digits: a chunked array
        raise UnsureError
    _, offset_bytes, data_bytes = buffers
    offsets = np.frombuffer(offset_bytes, np.int32, len(texts) + 1)
    first, end = offsets[:-1], offsets[1:]
    sizes = end - first
    if not sizes.min() > 0:
        raise UnsureError
    data = np.frombuffer(data_bytes, np.uint8, int(offsets[-1]))
    points = data == _POINT
    if points[first].any() or points[end - 1].any():
        raise UnsureError
    most = _SAFE_DIGITS + (np.count_nonzero(points) == len(texts))
    _look_closely(np.flatnonzero(sizes > most).tolist(), texts, form)
    odd = (data - _POINT) > _POINT_TO_NINE  # below the point wraps around; the slash in between fails the cast
    if odd.any():
        rows = np.unique(np.searchsorted(offsets, np.flatnonzero(odd), side="right") - 1)
        _look_closely(rows.tolist(), texts, form)


def _look_closely(rows: Sequence[int], texts: list[str], form: re.Pattern[str]) -> None:
    for row in rows:
        text = _text(texts[row])
        if text is None or not form.fullmatch(text) or not _survives(text):
            raise UnsureError
