"""Facts that decide which standard tests apply to a component: what is not declared true is not collected.

A fact is a class attribute of the suite (`durable = True`). It is the subclass's own word, visible in its first lines,
so nothing is hollowed out in silence: leaving a fact out makes the component promise less, in its own file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from k2core.testing.conformance.suite import Suite

C = TypeVar("C", bound=Callable[..., Any])
T = TypeVar("T")


def needs(*facts: str) -> Callable[[C], C]:
    """This standard test applies where all of these facts are declared true."""

    def mark(test: C) -> C:
        test.needs = facts  # type: ignore[attr-defined]
        return test

    return mark


class FactSuite(Suite):
    """A suite whose subclasses declare facts; tests that a fact rules out are taken off the class."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__.startswith(__package__):
            return
        for name, test in _tests(cls).items():
            if not cls.applies(getattr(test, "needs", ())):
                setattr(cls, name, None)  # pytest collects functions only
            elif getattr(cls, name) is None:
                setattr(cls, name, test)

    @classmethod
    def applies(cls, facts: tuple[str, ...]) -> bool:
        """Whether all of these facts are declared."""
        return all(getattr(cls, fact) for fact in facts)


def _tests(suite: type) -> dict[str, Callable[..., Any]]:
    """Every test by name, the newest definition of each; what was taken off for want of a fact is seen through."""
    found: dict[str, Callable[..., Any]] = {}
    for base in reversed(suite.__mro__):
        found |= {name: test for name, test in vars(base).items() if name.startswith("test_") and callable(test)}
    return found


def given(made: Any, kind: type[T]) -> T:
    """What a factory made, proved to be what it should be."""
    assert isinstance(made, kind), f"the factory made a {type(made).__name__}, not a {kind.__name__}"
    return made
