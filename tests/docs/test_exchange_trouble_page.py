"""`docs/exchange-trouble.md`: every line has its proof, and what it quotes is what the code says."""

from __future__ import annotations

import re

import pytest

from k2core.telemetry.catalogue import CATALOGUE
from tests.docs.messages import quotes
from tests.docs.pages import DOCS
from tests.docs.proofs import assert_proven, fault_rows

PAGE = (DOCS / "exchange-trouble.md").read_text()
ROWS = fault_rows(PAGE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_line_has_a_proof_that_exists(row: list[str]) -> None:
    assert_proven(row)


def test_the_page_covers_what_exchanges_are_known_for() -> None:
    assert len(ROWS) >= 40


def test_every_metric_exists() -> None:
    named = set(re.findall(r"`(k2_\w+)`", PAGE))
    assert named
    assert named <= set(CATALOGUE)


def test_every_log_line_is_in_the_code() -> None:
    seen = [cell for row in ROWS for cell in re.findall(r"`([^`]+)`", row[1]) if "…" in cell]
    assert len(seen) >= 12
    assert [quote for quote in seen if not quotes(quote)] == []
