"""The query source suite lets a good source pass, and each broken one fails the one test that is meant for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from k2core.clock import Clock
from k2core.interfaces.query import QuerySource, SourceTable
from k2core.interfaces.sink import Sink
from k2core.testing.conformance.query_source import QuerySourceSuite
from k2core.testing.memory_sink import MemoryLake, MemorySink
from tests.contract.source_broken import BROKEN, ModelSource, ModelTable
from tests.contract.suite_runs import check_noticed, standard_tests

PLACES: dict[Path, dict[str, MemoryLake]] = {}


class TestModelSource(QuerySourceSuite):
    """The model itself."""

    timeouts = True
    wait_s = 5.0
    made: type[ModelTable] = ModelTable

    def open(self, place: Path, clock: Clock) -> QuerySource:
        return ModelSource(PLACES.setdefault(place, {}), self.made)

    def open_sink(self, place: Path, clock: Clock) -> Sink:
        return MemorySink(PLACES.setdefault(place, {}))

    @contextlib.contextmanager
    def slowed(self, table: SourceTable) -> Iterator[None]:
        assert isinstance(table, ModelTable)
        table.delay_s = 1.1
        yield
        table.delay_s = 0.0


@pytest.mark.parametrize("broken", BROKEN, ids=lambda table: table.__name__)
def test_a_broken_source_fails_the_test_that_is_meant_for_it(broken: type[ModelTable], tmp_path: Path) -> None:
    check_noticed(type("Broken", (TestModelSource,), {"made": broken}), BROKEN[broken], tmp_path)


def test_every_must_has_a_source_that_breaks_it() -> None:
    assert {name.split("_")[1] for name in standard_tests(TestModelSource)} == set(BROKEN.values())
