"""`QuerySourceSuite`: what every query source must do. `docs/specs/component.md` numbers the MUSTs as the tests are named.

class TestMySource(QuerySourceSuite):
    def open(self, place: Path, clock: Clock) -> QuerySource:
        return MySource(MySettings(path=place / "lake.db"), clock)

    def open_sink(self, place: Path, clock: Clock) -> Sink:
        return MySink(MySettings(path=place / "lake.db"), clock)
"""

from __future__ import annotations

from k2core.testing.conformance.query_source_pins import PinTests
from k2core.testing.conformance.query_source_rows import RowTests


class QuerySourceSuite(RowTests, PinTests):
    """Selections, order, limits, bars and pins of one query source; see `SourceFacts` for what a subclass gives."""
