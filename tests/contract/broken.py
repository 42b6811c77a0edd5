"""Which one test has to notice which broken component."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T", bound=type)


def noticing(broken: dict[T, str]) -> Callable[[str], Callable[[T], T]]:
    """A decorator that enters a broken component with the number of the one test that has to fail."""

    def noticed_by(test: str) -> Callable[[T], T]:
        def mark(component: T) -> T:
            broken[component] = test
            return component

        return mark

    return noticed_by
