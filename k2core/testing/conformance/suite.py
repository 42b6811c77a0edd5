"""`Suite`: base of every conformance suite. Its tests are plain `def`s that run their own event loop.

A third party subclasses a suite, gives a factory and facts, and inherits the tests. What is survived: hollowing out. A
standard test that is overridden needs `@deviates("why")`, one that is left out an entry in `skips`; both reasons are
printed at the end of every run, and anything else is an error when the class is made.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar, TypeVar

import pytest

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
_PRINTER = "k2-conformance-deviations"


def deviates(reason: str) -> Callable[[F], F]:
    """Marks a test that replaces a standard one; the reason is printed at the end of the run."""
    if not reason.strip():
        raise TypeError("@deviates needs a reason: it is printed for everybody who reads the run")

    def mark(test: F) -> F:
        test.k2_deviates = reason  # type: ignore[attr-defined]
        return test

    return mark


class Suite:
    """Base of every conformance suite.

    Attributes:
        skips: Standard tests that are left out, by name, each with its reason.
        timeout_s: What a single wait of the kit may take.
    """

    skips: ClassVar[Mapping[str, str]] = {}
    timeout_s: ClassVar[float] = 5.0

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if _is_kit(cls):
            return
        _require_reasons(cls)
        for name, reason in cls.skips.items():
            _require_skippable(cls, name, reason)
            setattr(cls, name, _skipping(name, reason))

    @pytest.fixture(autouse=True)
    def k2_prints_deviations(self, request: pytest.FixtureRequest) -> None:
        """Has this class's deviations printed at the end of the run."""
        plugins = request.config.pluginmanager
        if not plugins.has_plugin(_PRINTER):
            plugins.register(DeviationPrinter(), _PRINTER)
        printer = plugins.get_plugin(_PRINTER)
        assert isinstance(printer, DeviationPrinter)
        printer.note(request.cls)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on a loop of its own."""
        with asyncio.Runner() as runner:
            return runner.run(work)


class DeviationPrinter:
    """A pytest plugin: prints which suites deviate from the standard, and why."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    def note(self, suite: type[Suite]) -> None:
        """Take a suite's deviations."""
        for name, reason in deviations(suite).items():
            self._lines[f"{suite.__qualname__}::{name}: {reason}"] = None

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print them."""
        if self._lines:
            terminalreporter.section("k2 conformance: deviations from the standard")
            for line in self._lines:
                terminalreporter.line(line)


def deviations(suite: type[Suite]) -> dict[str, str]:
    """Standard tests that a suite overrides or skips, with the reasons."""
    found = {name: getattr(getattr(suite, name, None), "k2_deviates", None) for name in standard_tests(suite)}
    return {name: reason for name, reason in found.items() if reason} | dict(suite.skips)


def standard_tests(suite: type[Suite]) -> list[str]:
    """Names of the kit's tests that a suite inherits, in order."""
    names = {name for base in suite.__mro__ if _is_kit(base) for name in vars(base) if name.startswith("test_")}
    return sorted(names)


def _is_kit(cls: type) -> bool:
    """Whether a class belongs to the kit itself."""
    return cls.__module__.rpartition(".")[0] == __name__.rpartition(".")[0]


def _require_reasons(cls: type[Suite]) -> None:
    """Look at what the class, or a mixin that is no suite itself, puts in the place of the kit's.

    Raises:
        TypeError: A standard test or a part of the kit was replaced without a word.
    """
    if vars(cls).get("__test__", True) is not True:
        raise TypeError(f"{cls.__qualname__} sets __test__: leave standard tests out by name in `skips`, with reasons")
    standard = set(standard_tests(cls))
    inner = {name for base in cls.__mro__ if _is_kit(base) for name in vars(base) if _is_inner(name)}
    for owner in (base for base in cls.__mro__ if base is cls or not issubclass(base, Suite)):
        for name, value in vars(owner).items() if owner is not object else ():
            if name in standard and not getattr(value, "k2_deviates", ""):
                raise TypeError(
                    f"{owner.__qualname__}.{name} replaces a standard test without a reason: mark it with "
                    '@deviates("why"), or name it in `skips`'
                )
            if name in inner:
                raise TypeError(f"{owner.__qualname__}.{name} replaces a part of the kit itself: that cannot be done")


def _is_inner(name: str) -> bool:
    return (name.startswith("_") and not name.startswith(("__", "_abc_"))) or name.startswith("k2_") or name == "run"


def _require_skippable(cls: type[Suite], name: str, reason: str) -> None:
    standard = standard_tests(cls)
    if name not in standard:
        near = difflib.get_close_matches(name, standard, 1)
        raise TypeError(f"{cls.__qualname__}.skips names {name!r}, no standard test{f': {near[0]}?' if near else ''}")
    if not isinstance(reason, str) or not reason.strip():
        raise TypeError(f"{cls.__qualname__}.skips[{name!r}] needs a reason: it is printed for everybody who reads it")


def _skipping(name: str, reason: str) -> Callable[[Any], None]:
    def skipped(self: Any) -> None:
        pytest.skip(reason)

    skipped.__name__ = skipped.__qualname__ = name
    return skipped
