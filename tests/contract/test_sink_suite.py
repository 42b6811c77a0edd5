"""The sink suite lets a good sink pass, and each broken one fails the one test that is meant for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from k2core.clock import Clock
from k2core.errors import CommitUnknownError
from k2core.interfaces.sink import Sink, SinkTable
from k2core.records.data_type import DataType
from k2core.testing.conformance.sink import SinkSuite
from k2core.testing.conformance.sink_world import as_table
from k2core.testing.memory_sink import MemoryLake, MemorySinkTable
from tests.contract import sink_broken, sink_broken_owners
from tests.contract.sink_broken import BrokenSink
from tests.contract.suite_runs import check_noticed, standard_tests

BROKEN = {**sink_broken.BROKEN, **sink_broken_owners.BROKEN}
PLACES: dict[Path, dict[str, MemoryLake]] = {}


class TestMemorySink(SinkSuite):
    """The model itself."""

    adds_columns = True
    loses_replies = True
    wait_s = 5.0
    made: type[MemorySinkTable] = MemorySinkTable

    def open(self, place: Path, clock: Clock) -> Sink:
        return BrokenSink(PLACES.setdefault(place, {}), self.made)

    def read(self, place: Path, data_type: DataType) -> pa.Table:
        return as_table(PLACES[place][data_type.name].rows, data_type)

    @contextlib.contextmanager
    def losing_reply(self, table: SinkTable, *, lands: bool) -> Iterator[None]:
        assert isinstance(table, MemorySinkTable)

        def lose(name: str) -> None:
            if name == "swap":
                raise CommitUnknownError("the reply was lost")

        table._fault = lose
        yield
        if lands:
            assert table.lake.arrive()
        table._fault = lambda name: None


@pytest.mark.parametrize("broken", BROKEN, ids=lambda table: table.__name__)
def test_a_broken_sink_fails_the_test_that_is_meant_for_it(broken: type[MemorySinkTable], tmp_path: Path) -> None:
    check_noticed(type("Broken", (TestMemorySink,), {"made": broken}), BROKEN[broken], tmp_path)


def test_every_must_has_a_sink_that_breaks_it() -> None:
    assert {name.split("_")[1] for name in standard_tests(TestMemorySink)} == set(BROKEN.values())
