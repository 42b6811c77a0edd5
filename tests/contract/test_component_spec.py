"""`docs/specs/component.md` and the standard tests have the same numbers, each once."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import k2core.testing.conformance as kit

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "specs" / "component.md").read_text()
KINDS = set("PNCET")


def numbers() -> list[str]:
    """Number of every standard test, at the class that defines it."""
    modules = [importlib.import_module(f"{kit.__name__}.{found.name}") for found in pkgutil.iter_modules(kit.__path__)]
    classes = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    names = {(one, name) for one in classes if one.__module__.startswith(kit.__name__) for name in vars(one)}
    return sorted(name.split("_")[1] for _, name in names if name.startswith("test_"))


def test_every_must_has_a_test_and_every_test_a_must() -> None:
    written = re.findall(r"^- \*\*([A-Z]\d\d)\*\* ", PAGE, re.MULTILINE)
    assert written == list(dict.fromkeys(written)), "a number stands twice"
    kinds = KINDS | {number[0] for number in written}
    assert sorted(written) == [number for number in numbers() if number[0] in kinds]


def test_every_must_says_must_or_may() -> None:
    musts = re.split(r"^- (?=\*\*[A-Z]\d\d\*\* )", PAGE, flags=re.MULTILINE)[1:]
    assert [one[:60] for one in musts if "MUST" not in one and " may " not in one] == []
