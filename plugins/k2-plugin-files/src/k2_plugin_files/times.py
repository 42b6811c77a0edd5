"""Texts to event times, µs since 1970, whole columns at a time: patterns, fractions, zones and clock changes.

A pattern becomes one regular expression, and days are counted here: Arrow's own strptime takes 30 February for 2 March
and knows no fractions. A local time that was twice, or never, when clocks changed is refused unless settings say which.
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from k2_plugin_files.numerals import chosen
from k2_plugin_files.settings import TimeSettings
from k2core.plugin import ConfigError

Longs = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

UNITS = {"s": 6, "ms": 3, "us": 0, "ns": -3}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
PARTS = {
    "Y": r"(?P<Y>\d{4})", "y": r"(?P<y>\d{2})", "m": r"(?P<m>\d{1,2})", "d": r"(?P<d>\d{1,2})",
    "b": r"(?P<b>[A-Za-z]{3})", "H": r"(?P<H>\d{1,2})", "I": r"(?P<I>\d{1,2})", "M": r"(?P<M>\d{1,2})",
    "S": r"(?P<S>\d{1,2})", "f": r"(?P<f>\d{1,9})", "p": r"(?P<p>[AaPp][Mm])",
    "z": r"(?P<z>Z|[+-]\d{2}:?\d{2})", "%": "%",
}  # fmt: skip
ISO = (
    r"(?P<Y>\d{4})-?(?P<m>\d{2})-?(?P<d>\d{2})(?:[T ]?(?P<H>\d{2}):?(?P<M>\d{2})(?::?(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?"
    r" ?(?P<z>Z|[+-]\d{2}(?::?\d{2})?)?)?"
)
SLICE_US = 900_000_000
"""Clocks change at quarters of an hour: the zone is asked once for each."""


class Times:
    """Reads one layout's times.

    Args:
        settings: How they are written.

    Raises:
        ConfigError: The pattern or the zone is none.
    """

    def __init__(self, settings: TimeSettings) -> None:
        self._settings = settings
        self._pattern = "" if settings.format in UNITS else _regex(settings.format)
        try:
            self._zone = None if settings.zone == "UTC" else zoneinfo.ZoneInfo(settings.zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
            raise ConfigError(f"time.zone: there is no zone {settings.zone!r}; name it as Australia/Sydney") from error

    def read(self, texts: Any) -> tuple[Longs, Mask, Mask]:
        """Times of n texts.

        Returns:
            µs since 1970 (int64[n], 0 where there is none), which are times, and which of those are refused as ambiguous.
        """
        if self._settings.format in UNITS:
            us, good = _epoch(texts, UNITS[self._settings.format])
            return us, good, np.zeros(len(us), bool)
        parts = pc.extract_regex(texts, self._pattern)
        us, good, offset = _civil(parts)
        if self._zone is None:
            return np.where(good, us - offset, 0), good, np.zeros(len(us), bool)
        named = (_column(parts, "z") != "") if "z" in _names(parts) else np.zeros(len(us), bool)
        local, doubtful = self._to_utc(us, good & ~named)
        return np.where(good, np.where(named, us - offset, local), 0), good, doubtful & good & ~named

    def _to_utc(self, us: Longs, asked: Mask) -> tuple[Longs, Mask]:
        """Local times as UTC, and which of them settings do not decide."""
        slices, at = np.unique(us[asked] // SLICE_US, return_inverse=True)
        pairs = np.array([self._offsets(int(s) * SLICE_US) for s in slices.tolist()], np.int64).reshape(-1, 2)
        found, doubtful = us.copy(), np.zeros(len(us), bool)
        choice = self._settings.ambiguous
        # The earlier instant is the one with the larger offset from UTC.
        picked = pairs.min(axis=1) if choice == "later" else pairs.max(axis=1)
        if len(pairs):
            found[asked] -= picked[at]
            doubtful[asked] = (pairs[:, 0] != pairs[:, 1])[at] & (choice == "refuse")
        return found, doubtful

    def _offsets(self, local_us: int) -> tuple[int, int]:
        """Offsets from UTC of a local time, µs: the same twice, but where clocks changed."""
        moment = dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=local_us)
        both = [moment.replace(tzinfo=self._zone, fold=fold).utcoffset() for fold in (0, 1)]
        first, second = (int((offset or dt.timedelta()).total_seconds() * 1_000_000) for offset in both)
        return first, second


def _regex(pattern: str) -> str:
    if pattern == "iso":
        return f"^{ISO}$"
    found = ""
    for plain, part in re.findall(r"([^%]+)|%(.?)", pattern):
        if not plain and part not in PARTS:
            raise ConfigError(f"time.format: %{part} is not known here; known are {', '.join('%' + p for p in PARTS)}")
        found += re.escape(plain) if plain else PARTS[part]
    named = set(re.findall(r"\(\?P<(.)>", found))
    if not (named & {"Y", "y"}) or not (named & {"m", "b"}) or "d" not in named:
        raise ConfigError(f"time.format: {pattern!r} names no day: it needs year, month and day, or s, ms, us, ns, iso")
    return f"^{found}$"


def _epoch(texts: Any, power: int) -> tuple[Longs, Mask]:
    """Numbers since 1970 in a unit of 10**power µs, exactly; digits below a µs are cut off."""
    parts = pc.extract_regex(texts, r"^(?P<w>\d{1,18}|[1-8]\d{18})(?:\.(?P<f>\d{1,12}))?$")
    good = parts.is_valid().to_numpy(zero_copy_only=False)
    whole = _numbers(parts, "w")
    if power <= 0:
        return np.where(good, whole // 10**-power, 0), good
    good &= whole < 10**17 // 10**power
    fraction = np.array([int(f[:power].ljust(power, "0")) for f in _column(parts, "f").tolist()], np.int64)
    return np.where(good, whole * 10**power + fraction, 0), good


def _civil(parts: Any) -> tuple[Longs, Mask, Longs]:
    """Calendar parts as µs since 1970 of the same calendar, which are real, and the named offset from UTC, µs."""
    names = _names(parts)
    good: Mask = parts.is_valid().to_numpy(zero_copy_only=False)
    year = _numbers(parts, "Y") if "Y" in names else _numbers(parts, "y")
    year = year if "Y" in names else year + np.where(year < 69, 2000, 1900)
    month = _numbers(parts, "m") if "m" in names else _months(parts)
    day, hour, minute, second = (_numbers(parts, n) for n in ("d", "H", "M", "S"))
    if "I" in names:
        hour = _numbers(parts, "I")
        good &= (hour >= 1) & (hour <= 12)
        hour = hour % 12 + 12 * np.char.startswith(np.char.lower(_column(parts, "p")), "p")
    good &= (month >= 1) & (month <= 12) & (hour < 24) & (minute < 60) & (second < 60) & (year > 0)
    safe = np.where(good, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    days = safe.astype("datetime64[D]").astype(np.int64)
    length = (safe + 1).astype("datetime64[D]").astype(np.int64) - days
    good &= (day >= 1) & (day <= length)
    us = (days + day - 1) * 86_400_000_000 + ((hour * 60 + minute) * 60 + second) * 1_000_000 + _micros(parts)
    return np.where(good, us, 0), good, _offset(parts)


def _names(parts: Any) -> list[str]:
    return [field.name for field in parts.type]


def _column(parts: Any, name: str) -> npt.NDArray[np.str_]:
    """One part of each text, empty where there is none."""
    if name not in _names(parts):
        return np.full(len(parts), "", np.str_)
    found = pc.fill_null(pc.struct_field(parts, name), "")
    return np.asarray(found.to_numpy(zero_copy_only=False), np.str_)


def _numbers(parts: Any, name: str) -> Longs:
    if name not in _names(parts):
        return np.zeros(len(parts), np.int64)
    found = pc.fill_null(pc.struct_field(parts, name), "0")
    found = chosen(pc.equal(found, pa.scalar("")), pa.scalar("0"), found)
    values: Longs = found.cast(pa.int64()).to_numpy(zero_copy_only=False).copy()
    return values


def _months(parts: Any) -> Longs:
    words = np.char.lower(_column(parts, "b"))
    found = np.zeros(len(words), np.int64)
    for number, word in enumerate(MONTHS, 1):
        found[words == word] = number
    return found


def _micros(parts: Any) -> Longs:
    """Fractions of a second as µs, digits below cut off."""
    if "f" not in _names(parts):
        return np.zeros(len(parts), np.int64)
    found = pc.fill_null(pc.struct_field(parts, "f"), "")
    padded = pc.utf8_slice_codeunits(pc.utf8_rpad(found, 6, "0"), 0, 6)
    values: Longs = padded.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return values


def _offset(parts: Any) -> Longs:
    """Offsets that the texts name, µs."""
    texts = _column(parts, "z")
    distinct, at = np.unique(texts, return_inverse=True)
    found = [_offset_of(text) for text in distinct.tolist()]
    return np.array(found, np.int64)[at]


def _offset_of(text: str) -> int:
    if text in ("", "Z"):
        return 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    return (1 if text[0] == "+" else -1) * (int(digits[:2]) * 60 + int(digits[2:])) * 60_000_000
