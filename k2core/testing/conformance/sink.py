"""`SinkSuite`: what every sink must do. `docs/specs/component.md` numbers the MUSTs as the tests are named.

class TestMySink(SinkSuite):
    processes = True

    def open(self, place: Path, clock: Clock) -> Sink:
        return MySink(MySettings(path=place / "lake.db"), clock)

    def read(self, place: Path, data_type: DataType) -> pa.Table:
        ...  # with the database's own client, not with the sink
"""

from __future__ import annotations

from k2core.testing.conformance.sink_commits import CommitTests
from k2core.testing.conformance.sink_owners import OwnerTests
from k2core.testing.conformance.sink_sharing import SharingTests
from k2core.testing.conformance.sink_tables import TableTests


class SinkSuite(CommitTests, OwnerTests, SharingTests, TableTests):
    """Commits, owners, crashes, columns and upkeep of one sink; see `SinkFacts` for what a subclass gives."""
