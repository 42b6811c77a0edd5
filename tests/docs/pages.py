"""Reads the documentation's pages: fenced blocks, the commands in them, the output they show, and what a comment on the
line before says of a block: `not run: REASON`, `file: PATH` (it is that file), `edit: PATH` (a diff of it), `fails`.
"""

from __future__ import annotations

import pathlib
import re
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(p for p in DOCS.rglob("*.md") if "examples" not in p.parts)
COMMENT = re.compile(r"<!-- (not run|file|edit|fails)(?:: (.+))? -->")
RUN = {"console", "python", "toml"}


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language, its text, and what is said of it."""

    page: str
    line: int
    language: str
    text: str
    said: str = ""
    of: str = ""

    @property
    def run(self) -> bool:
        """Whether something is to be done with it."""
        return self.said != "not run" and (self.language in RUN or self.said in ("file", "edit"))

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


def name(path: pathlib.Path) -> str:
    """A page's name: its path in the documentation's folder."""
    return str(path.relative_to(DOCS)) if path.is_relative_to(DOCS) else path.name


def blocks(path: pathlib.Path) -> list[Block]:
    """Every fenced block of a page, in order; longer fences may hold shorter ones."""
    found, lines, at = [], path.read_text().splitlines(), 0
    while at < len(lines):
        if fence := re.match(r"`{3,}", lines[at]):
            end = lines.index(fence.group(), at + 1)
            comment = COMMENT.fullmatch(lines[at - 1]) if at else None
            said, of = (comment[1], comment[2] or "") if comment else ("", "")
            body = "\n".join(lines[at + 1 : end])
            found.append(Block(name(path), at + 1, lines[at].strip("` "), body, said, of))
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


def edited(text: str, diff: str) -> str:
    """A text with the hunks of a diff (parted by `@@`) put in; each must fit at exactly one place."""
    lines = text.splitlines()
    for hunk in filter(None, re.split(r"^@@.*\n?", diff, flags=re.MULTILINE)):
        old = [line[1:] for line in hunk.splitlines() if line[:1] != "+"]
        new = [line[1:] for line in hunk.splitlines() if line[:1] != "-"]
        places = [at for at in range(len(lines)) if lines[at : at + len(old)] == old]
        if len(places) != 1:
            raise ValueError("these lines are not in the file, or more than once:\n" + "\n".join(old))
        lines[places[0] : places[0] + len(old)] = new
    return "".join(f"{line}\n" for line in lines)


def put(block: Block, folder: pathlib.Path) -> None:
    """Write the file that a block is, or edits."""
    path = folder / block.of
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{block.text}\n" if block.said == "file" else edited(path.read_text(), block.text))
