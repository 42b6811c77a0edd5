"""Where a key stands in a TOML file: the standard library reads values and forgets their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

_HEADER = re.compile(r"\s*\[{1,2}\s*([^\[\]]+?)\s*\]{1,2}\s*(#.*)?$")
_KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_.\s-])+?)\s*=""")
_PART = re.compile(r""""([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)""")
_LONG_QUOTE = re.compile(r"\"\"\"|'''")


def lines_of(text: str) -> dict[tuple[str, ...], int]:
    """Path → line, from 1, of every table and key that has a line of its own. Of a valid file."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in _outside_texts(text):
        if header := _HEADER.match(line):
            table = _path(header.group(1))
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, *_path(key.group(1))), number)
    return found


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(a or b or c for a, b, c in _PART.findall(dotted))


def _outside_texts(text: str) -> Iterator[tuple[int, str]]:
    """Lines that do not begin within a text of several lines."""
    within = False
    for number, line in enumerate(text.splitlines(), 1):
        if not within:
            yield number, line
        if len(_LONG_QUOTE.findall(line)) % 2:
            within = not within
