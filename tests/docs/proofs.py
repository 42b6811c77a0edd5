"""Pages that are tables of faults: a line names a fault, what is seen, what k2 does, and the tests that prove it."""

from __future__ import annotations

import ast
import re

from tests.docs.pages import DOCS

LINK = re.compile(r"\[`(test_\w+)`\]\((\S+?)\)")


def fault_rows(page: str) -> list[list[str]]:
    """The cells of every line of every table."""
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return [row for row in rows if row[0] != "fault"]


def assert_proven(row: list[str]) -> None:
    """A line has all its cells, and tests that exist."""
    assert len(row) == 4
    proofs = LINK.findall(row[3])
    assert proofs
    for name, path in proofs:
        tree = ast.parse((DOCS / path).read_text())
        found = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in found, f"{path} has no {name}"
