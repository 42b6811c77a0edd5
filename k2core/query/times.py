"""Times and intervals as people write them: ISO 8601, epochs by their number of digits, `-15m`, `now`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from k2core.errors import QueryError

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LENGTH = re.compile(r"(\d{1,9})(ms|s|m|h|d)", re.ASCII)
_EPOCHS = {10: 1_000_000, 13: 1_000, 16: 1}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS_DIGITS = 19


def parse_time(text: str, now_us: int, name: str = "time") -> int:
    """A point in time.

    Args:
        text: ISO 8601 (UTC where no offset stands), an epoch of 10 (s), 13 (ms), 16 (µs) or 19 digits (ns), `now`,
            or a length before now as `-15m`.
        now_us: Unix µs.
        name: The parameter, for the message.

    Returns:
        Unix µs.

    Raises:
        QueryError: It is none of these.
    """
    if text == "now":
        return now_us
    if text[:1] == "-" and (length := _LENGTH.fullmatch(text[1:])):
        return now_us - int(length[1]) * _UNITS_MS[length[2]] * 1000
    if text.isascii() and text.isdigit():
        return _epoch(text, name)
    try:
        # A plus sign that was not escaped in a URL arrives as a space.
        moment = datetime.fromisoformat(re.sub(r" (\d\d:?\d\d)$", r"+\1", text))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise _refused(text, name) from None


def parse_interval(text: str) -> int:
    """The length of a bar, as `1m`, in ms.

    Raises:
        QueryError: It is not a number and one of ms, s, m, h, d, or not between 1 ms and 366 days.
    """
    length = _LENGTH.fullmatch(text)
    ms = int(length[1]) * _UNITS_MS[length[2]] if length else 0
    if not 1 <= ms <= 366 * _UNITS_MS["d"]:
        raise QueryError(f"interval is {text[:40]!r}: write a number and a unit (ms, s, m, h, d), as 1m or 4h")
    return ms


def ceil_ms(time_us: int | None) -> int | None:
    """The first whole millisecond at or after a time: right for an inclusive start and for an exclusive end."""
    return None if time_us is None else -(-time_us // 1000)


def _epoch(text: str, name: str) -> int:
    if len(text) == _NS_DIGITS:
        return int(text) // 1000
    if len(text) not in _EPOCHS:
        raise QueryError(
            f"{name} is {text[:40]!r}: an epoch has 10 digits (s), 13 (ms), 16 (us) or 19 (ns), this has {len(text)}"
        )
    return int(text) * _EPOCHS[len(text)]


def _refused(text: str, name: str) -> QueryError:
    return QueryError(
        f"{name} is {text[:40]!r}: write ISO 8601 (2026-01-31T12:00:00Z), an epoch in s, ms, us or ns, now, or a length"
        " before now (-15m)"
    )
