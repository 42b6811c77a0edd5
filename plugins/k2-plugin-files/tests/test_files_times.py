"""Times of files: against Python's own calendar, in zones that change their clocks."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from k2_plugin_files.settings import TimeSettings
from k2_plugin_files.times import Times

from k2core.plugin import ConfigError

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICRO = dt.timedelta(microseconds=1)


def read(*texts: str | None, **settings: Any) -> list[int | str]:
    """µs, or what is wrong."""
    us, good, doubtful = Times(TimeSettings(columns=("t",), **settings)).read(pa.array(texts, pa.string()))
    rows = zip(us.tolist(), good.tolist(), doubtful.tolist(), strict=True)
    return ["bad" if not g else "ambiguous" if d else u for u, g, d in rows]


def us_of(moment: dt.datetime) -> int:
    return (moment - EPOCH) // MICRO


@given(
    st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(2099, 12, 31)),
    st.sampled_from(["%d/%m/%Y", "%Y-%m-%d", "%d-%b-%y"]),
)
def test_patterns_agree_with_python(moment: dt.datetime, day: str) -> None:
    if "%y" in day:
        year = 1970 + moment.year % 99 if moment.year % 100 >= 70 else 2000 + moment.year % 60
        moment = moment.replace(year=year, day=min(moment.day, 28))  # another year may have no 29 February
    pattern = f"{day} %H:%M:%S.%f"
    assert read(moment.strftime(pattern), format=pattern) == [us_of(moment.replace(tzinfo=dt.UTC))]


@given(st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2035, 12, 31)), st.sampled_from(["Australia/Sydney", "America/New_York", "Europe/London", "Asia/Kolkata"]))  # fmt: skip
def test_local_times_agree_with_python(moment: dt.datetime, zone: str) -> None:
    both = {moment.replace(tzinfo=ZoneInfo(zone), fold=fold).utcoffset() for fold in (0, 1)}
    wanted = us_of(moment.replace(tzinfo=ZoneInfo(zone))) if len(both) == 1 else "ambiguous"
    assert read(moment.strftime("%Y-%m-%d %H:%M:%S.%f"), format="%Y-%m-%d %H:%M:%S.%f", zone=zone) == [wanted]


@pytest.mark.parametrize(
    "text",
    ["30/02/2026 10:00:00", "29/02/2025 10:00:00", "01/13/2026 10:00:00", "00/01/2026 10:00:00", "01/01/2026 24:00:00",
     "01/01/2026 10:60:00", "01/01/2026 10:00:60", "01/01/2026 10:00:00 ", "01/01/26 10:00:00", "", None],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str | None) -> None:
    assert read(text, format="%d/%m/%Y %H:%M:%S") == ["bad"]


def test_the_hour_that_was_twice() -> None:
    how: dict[str, Any] = {"format": "%Y-%m-%d %H:%M:%S", "zone": "Australia/Sydney"}
    twice, never = "2026-04-05 02:30:00", "2026-10-04 02:30:00"
    assert read(twice, never, **how) == ["ambiguous", "ambiguous"]
    earlier, later = (read(twice, **how, ambiguous=a)[0] for a in ("earlier", "later"))
    assert (int(later) - int(earlier)) == 3_600_000_000
    assert earlier == us_of(dt.datetime(2026, 4, 4, 15, 30, tzinfo=dt.UTC))


def test_a_time_that_names_its_zone_needs_no_other() -> None:
    found = read("2026-02-03T20:00:00+11:00", "2026-02-03T09:00:00Z", "2026-02-03 20:00", zone="Australia/Sydney")
    assert found == [us_of(dt.datetime(2026, 2, 3, 9, tzinfo=dt.UTC))] * 3


@pytest.mark.parametrize(
    ("unit", "text", "us"),
    [("s", "1700000000", 1_700_000_000_000_000), ("s", "1700000000.1234567", 1_700_000_000_123_456),
     ("ms", "1700000000123", 1_700_000_000_123_000), ("us", "1700000000123456", 1_700_000_000_123_456),
     ("ns", "1700000000123456789", 1_700_000_000_123_456), ("ns", "9999999999999999999", "bad"), ("ns", "170000000012345678", 170_000_000_012_345), ("s", "1e9", "bad"),
     ("s", "-5", "bad"), ("ms", "99999999999999999", "bad")],
)  # fmt: skip
def test_numbers_since_1970(unit: str, text: str, us: int | str) -> None:
    assert read(text, format=unit) == [us]


@pytest.mark.parametrize(
    "settings", [{"format": "%d.%q.%Y"}, {"format": "%H:%M"}, {"zone": "Sydney/Mars"}, {"zone": "../x"}]
)
def test_settings_that_mean_nothing_are_errors(settings: Any) -> None:
    with pytest.raises(ConfigError, match=r"time\.(format|zone)"):
        Times(TimeSettings(columns=("t",), **settings))


def test_twelve_hour_clocks() -> None:
    found = read("1/2/2026 12:00:00 AM", "1/2/2026 12:00:00 pm", "1/2/2026 13:00:00 PM", format="%m/%d/%Y %I:%M:%S %p")
    midnight = us_of(dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
    assert found == [midnight, midnight + 43_200_000_000, "bad"]
