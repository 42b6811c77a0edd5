"""`docs/testing-a-plugin.md`: the coin example passes the suites that it shows."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.contract.standard import failing
from tests.docs.pages import DOCS, blocks

PAGE = [block for block in blocks(DOCS / "testing-a-plugin.md") if block.language == "python"]


@pytest.mark.parametrize(("number", "name"), [(0, "TestCoinNormalizer"), (1, "TestCoinFeed")])
def test_the_coin_example_passes_its_whole_suite(number: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(DOCS / "examples"), *sys.path])
    names: dict[str, Any] = {"__name__": "page"}
    exec(PAGE[number].text.partition(f"\n{name}().")[0], names)
    assert failing(names[name], threads=8) == {}
