"""Runs a conformance suite without pytest's collection, to see which of its tests a component fails."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from k2core.testing.conformance.facts import FactSuite


def standard_tests(suite: type[FactSuite]) -> list[str]:
    """The tests that apply to a suite, in order."""
    names = [name for name in dir(suite) if name.startswith("test_") and callable(getattr(suite, name))]
    return sorted(n for n in names if suite.applies(getattr(getattr(suite, n), "needs", ())))


def failures(suite: type[FactSuite], folder: Path, only: Iterable[str] | None = None) -> dict[str, str]:
    """Standard tests that fail, with what was said."""
    found = {}
    for name in standard_tests(suite) if only is None else only:
        place = folder / name
        place.mkdir(parents=True)
        try:
            _run(getattr(suite(), name), place)
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - whatever a broken component makes of it
            found[name] = f"{type(error).__name__}: {error}"
        shutil.rmtree(place, ignore_errors=True)
    return found


def _run(test: Any, place: Path) -> None:
    assert list(inspect.signature(test).parameters) == ["tmp_path"], "standard tests take tmp_path alone"
    test(tmp_path=place)


def check_noticed(suite: type[FactSuite], number: str, folder: Path, only: Iterable[str] | None = None) -> None:
    """The test with that number fails, and no other."""
    found = failures(suite, folder, only)
    numbers = {name.split("_")[1]: said for name, said in found.items()}
    assert set(numbers) == {number}, f"wanted {number} alone to fail: {numbers or 'nothing failed'}"
