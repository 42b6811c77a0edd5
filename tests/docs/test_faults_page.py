"""`docs/faults.md`: every line has its proof, and what it quotes is what the code says."""

from __future__ import annotations

import ast
import re

import pytest

from k2core.telemetry.catalogue import CATALOGUE
from tests.docs.messages import quotes
from tests.docs.pages import DOCS
from tests.docs.proofs import assert_proven, fault_rows

PAGE = (DOCS / "faults.md").read_text()
ROWS = fault_rows(PAGE)
ASKED = (
    "broker is killed", "is frozen", "leader moves", "in the middle of a batch", "killed: before files are written",
    "past its session", "away at a start", "away while k2 runs", "incompatible schema", "killed, frozen or full",
    "flushed", "catalog is locked", "reply to a commit", "disk under the warehouse", "is slow", "records of somebody else",
    "topic of dead letters", "`SIGTERM`",
)  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:50])
def test_every_line_has_a_proof_that_exists(row: list[str]) -> None:
    assert_proven(row)


@pytest.mark.parametrize("fault", ASKED)
def test_the_page_covers_what_k2_is_to_survive(fault: str) -> None:
    assert any(fault in row[0] for row in ROWS)


def test_every_fault_over_kafka_is_on_the_page() -> None:
    tree = ast.parse((DOCS / "../tests/e2e/test_faults_over_kafka.py").read_text())
    tests = {n.name for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")}
    assert tests <= set(re.findall(r"`(test_\w+)`", PAGE))


def test_every_metric_exists() -> None:
    assert set(re.findall(r"`(k2_\w+)`", PAGE)) <= set(CATALOGUE)


def test_every_log_line_is_in_the_code() -> None:
    seen = [cell for row in ROWS for cell in re.findall(r"`([^`]+)`", row[1]) if "…" in cell]
    assert len(seen) >= 10
    assert [quote for quote in seen if not quotes(quote)] == []
