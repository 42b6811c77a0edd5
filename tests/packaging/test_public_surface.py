"""What plugins rely on changes only on purpose: the surface is compared with its record."""

from __future__ import annotations

import dataclasses
import enum
import os
import pathlib
import re
import subprocess
import sys
from abc import ABC, abstractmethod

from tests.packaging.surface import _class, recorded, surface

ROOT = pathlib.Path(__file__).resolve().parents[2]
DO = (
    "If that is meant: `python3 noxfile.py -s generate` records it anew, CHANGELOG.md gets a line, and a break a new minor"
    " version while it begins with 0 (else a new major one) in every pyproject.toml."
)


def verdict(old: list[str], new: list[str]) -> str:
    """What the difference between two surfaces means; empty where there is none."""
    gone, added = [line for line in old if line not in new], [line for line in new if line not in old]
    if old == new:
        return ""
    breaking = gone or any(asks(line, old) for line in added) or not added
    told = [f"- {line}" for line in gone] + [f"+ {line}" for line in added] or ["fields stand in another order"]
    return "\n".join([f"{'BREAKING' if breaking else 'adding'} change of the public surface.", *told, DO])


def asks(line: str, old: list[str]) -> bool:
    """Whether a new line asks something of those who use a class already: a method to write, a field to fill in."""
    owner = re.split(r"[(:]", line.removeprefix("async "))[0].rpartition(".")[0]
    field = re.match(r"[\w.]+: (?!property|class)", line) and " = " not in line
    return any(known.startswith(f"{owner}: class(") for known in old) and bool(line.endswith(" abstract") or field)


def test_the_surface_is_the_recorded_one() -> None:
    found = verdict(recorded(), surface())
    assert not found, found


def test_the_record_is_the_same_on_every_run() -> None:
    command = [sys.executable, "-m", "tests.packaging.surface", "--print"]
    env = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONIOENCODING": "utf-8"}
    other = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
    assert other.splitlines() == surface()
    assert not [line for line in surface() if " object at " in line or "0x" in line]


def test_a_change_is_told_with_what_it_means() -> None:
    old = ["p.A: class()", "p.f(x: 'int') -> 'int'"]
    assert verdict(old, old) == ""
    assert verdict(old, [*old, "p.g() -> 'int'"]).startswith("adding change")
    assert verdict(old, [*old, "p.A.more(self) -> 'int'", "p.A.x: int = 1", "p.A.y: property -> int"])[:6] == "adding"
    assert verdict(old, [*old, "p.B: class()", "p.B.more(self) -> 'int' abstract", "p.B.x: int"])[:6] == "adding"
    assert verdict(old, [*old, "async p.A.more(self) -> 'int' abstract"]).startswith("BREAKING")
    assert verdict(old, [*old, "p.A.x: int keyword-only"]).startswith("BREAKING")
    assert verdict(old, old[::-1]).startswith("BREAKING")
    told = verdict(old, ["p.A: class()", "p.f(x: 'str') -> 'int'"])
    assert told.startswith("BREAKING")
    assert "- p.f(x: 'int') -> 'int'" in told
    assert "+ p.f(x: 'str') -> 'int'" in told
    assert "CHANGELOG.md" in told


class Colour(enum.Enum):
    RED = 1


class Base(ABC):
    def __init__(self, size: int, *, deep: bool = False) -> None:
        self.size, self.deep = size, deep

    @abstractmethod
    async def read(self, n: int) -> bytes: ...

    @property
    def wide(self) -> bool:
        return True

    @classmethod
    def make(cls) -> Base: ...  # type: ignore[empty-body]


Base.__module__ = "k2core.made.up"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    needed: int
    given: tuple[str, ...] = ("a",)
    made: list[str] = dataclasses.field(default_factory=list)


def test_everything_that_a_plugin_may_rely_on_is_in_it() -> None:
    assert list(_class("Colour", Colour)) == ["Colour: class(Enum)", "Colour.RED = 1"]
    assert list(_class("Base", Base)) == [
        "Base: class(ABC)",
        "Base(size: 'int', *, deep: 'bool' = False) -> 'None'",
        "Base.make(cls) -> 'Base' classmethod",
        "async Base.read(self, n: 'int') -> 'bytes' abstract",
        "Base.wide: property -> bool",
    ]
    assert list(_class("Record", Record)) == [
        "Record: class()",
        "Record.needed: int keyword-only",
        "Record.given: tuple[str, ...] = ('a',) keyword-only",
        "Record.made: list[str] = … keyword-only",
    ]
