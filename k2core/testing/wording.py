"""How local exchanges spell things: JSON without spaces, times as text, a frame that breaks off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_encode = msgspec.json.Encoder(decimal_format="number").encode


def compact_json(value: Any) -> bytes:
    """A message as exchanges print it: JSON without spaces. A `Decimal` becomes a JSON number, digit for digit."""
    return _encode(value)


def utc_text(at_us: int) -> str:
    """Unix µs as RFC 3339 text with six digits, `2024-08-08T23:54:15.342789Z`."""
    return (_EPOCH + at_us * _MICROSECOND).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def utc_us(text: str) -> int:
    """RFC 3339 text of whole microseconds as Unix µs, by the standard library alone."""
    return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND


def broken_off(frame: bytes) -> bytes:
    """The first half of a frame: what a malformed event is sent as."""
    return frame[: len(frame) // 2]
