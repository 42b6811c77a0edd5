"""Every MUST of stores, sinks, brokers and query sources in the specification is a test of that number, and the other way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from k2core.testing import BrokerSuite, DedupStoreSuite, QuerySourceSuite, SinkSuite
from k2core.testing.conformance.facts import FactSuite
from k2core.testing.conformance.suite import standard_tests

SPEC = Path(__file__).resolve().parents[2] / "docs" / "specs" / "component.md"
LETTERS = {"D": DedupStoreSuite, "S": SinkSuite, "B": BrokerSuite, "Q": QuerySourceSuite}


@pytest.mark.parametrize("letter", LETTERS)
def test_the_specification_and_the_suite_have_the_same_numbers(letter: str) -> None:
    written = re.findall(rf"^- \*\*({letter}\d\d)\*\*(?: \((.*?)\))?", SPEC.read_text(), re.M)
    suite = LETTERS[letter]
    tested = {name.split("_")[1]: getattr(getattr(suite, name), "needs", ()) for name in standard_tests(suite)}
    assert {number: tuple(re.findall(r"`(\w+)`", facts)) for number, facts in written} == tested


def test_what_is_not_declared_is_not_collected_and_comes_back_where_it_is() -> None:
    lacking: type[FactSuite] = type("Lacking", (DedupStoreSuite,), {})
    having = type("Having", (lacking,), {"durable": True})
    name = "test_D30_what_was_settled_outlives_the_store"
    assert getattr(lacking, name) is None
    assert getattr(having, name) is getattr(DedupStoreSuite, name)
    assert DedupStoreSuite.__dict__.get(name, 0) is not None
