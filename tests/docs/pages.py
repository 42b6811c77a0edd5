"""Reads the documentation's pages: fenced blocks, the commands in them, and the output they show."""

from __future__ import annotations

import pathlib
import re
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NOT_RUN = re.compile(r"<!-- not run: .+ -->")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language, its text, and whether it is to be run."""

    page: str
    line: int
    language: str
    text: str
    run: bool

    @property
    def commands(self) -> list[tuple[str, list[str]]]:
        """Of a console block: each command, and the lines that it is shown to print."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif line.strip():
                found[-1][1].append(line)
        return found


def blocks(path: pathlib.Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    found, lines, at = [], path.read_text().splitlines(), 0
    while at < len(lines):
        if lines[at].startswith("```"):
            end = lines.index("```", at + 1)
            before = lines[at - 1] if at else ""
            body = "\n".join(lines[at + 1 : end])
            found.append(Block(path.name, at + 1, lines[at][3:].strip(), body, not NOT_RUN.fullmatch(before)))
            at = end
        at += 1
    return found


def shown(expected: str) -> re.Pattern[str]:
    """A line of output as a page shows it: its words in order; numbers and `…` stand for anything."""
    words = [part for part in re.split(r"[\s…]+|\S*\d\S*" if "{" not in expected else r"\s|…|\d+", expected) if part]
    return re.compile(".*?".join(map(re.escape, words)))


def missing(expected: list[str], printed: str) -> str | None:
    """The first shown line that was not printed, in any order; None where all were."""
    lines = printed.splitlines()
    return next((want for want in expected if not any(shown(want).search(line) for line in lines)), None)
