"""`moved_time`: the same code, at another time of day, on another day, a century on.

For what must not look at the time at all. Met here: modules that took `time` or `datetime` by name when they were imported.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

from k2core.testing.clock import ManualClock

DAY_S = 86_400
MOVES_S = (36_525.5 * DAY_S, 40_003.137 * DAY_S)
"""Noon is midnight; and another weekday, hour and minute."""


@contextmanager
def moved_time(seconds: float, modules: Iterable[str]) -> Iterator[None]:
    """Move the wall clock of this process, as far as Python sees it, and that of every `Context` of the suites.

    Args:
        seconds: How far on.
        modules: Names of modules; what they and those of their packages took from `time` and `datetime` moves too.
    """
    moved = _moved(seconds)
    packages = {name.partition(".")[0] for name in modules}
    named = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] in packages and module]
    shown = ManualClock.now_ns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ManualClock, "now_ns", lambda clock: shown(clock) + round(seconds * 1e9))
        for module in (time, dt, *named):
            _replace(patch, module, moved)
        yield


def _replace(patch: pytest.MonkeyPatch, module: ModuleType, moved: list[tuple[Any, Any]]) -> None:
    for name, value in list(vars(module).items()):
        for real, instead in moved:
            if value is real:
                patch.setattr(module, name, instead)


def _moved(seconds: float) -> list[tuple[Any, Any]]:
    """What tells the time, and what tells another in its place."""
    real_time, real_ns = time.time, time.time_ns

    def of_now(told: Callable[[Any], Any]) -> Callable[..., Any]:
        return lambda at=None: told(real_time() + seconds if at is None else at)

    return [
        (real_time, lambda: real_time() + seconds),
        (real_ns, lambda: real_ns() + round(seconds * 1e9)),
        (time.gmtime, of_now(time.gmtime)),
        (time.localtime, of_now(time.localtime)),
        *_moved_dates(dt.timedelta(seconds=seconds)),
    ]


class _Kind(type):
    """What was made before, or by libraries, is a moved class's too."""

    real: type

    def __instancecheck__(cls, one: object) -> bool:
        return isinstance(one, cls.real)


def _moved_dates(on: dt.timedelta) -> list[tuple[Any, Any]]:
    real_datetime, real_date = dt.datetime, dt.date

    class MovedDatetime(real_datetime, metaclass=_Kind):  # type: ignore[misc, valid-type]
        real = real_datetime

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return real_datetime.now(tz) + on

        @classmethod
        def utcnow(cls) -> Any:
            return real_datetime.now(dt.UTC).replace(tzinfo=None) + on

        @classmethod
        def today(cls) -> Any:
            return real_datetime.now() + on

    class MovedDate(real_date, metaclass=_Kind):  # type: ignore[misc, valid-type]
        real = real_date

        @classmethod
        def today(cls) -> Any:
            return (real_datetime.now() + on).date()

    return [(real_datetime, MovedDatetime), (real_date, MovedDate)]
