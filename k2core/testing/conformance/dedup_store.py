"""`DedupStoreSuite`: what every dedup store must do. `docs/specs/component.md` numbers the MUSTs as the tests are named.

class TestMyStore(DedupStoreSuite):
    durable = True

    def open(self, place: Path, clock: Clock) -> DedupStore:
        return MyStore(MySettings(path=place / "ids.db"), clock)
"""

from __future__ import annotations

from k2core.testing.conformance.dedup_claims import ClaimTests
from k2core.testing.conformance.dedup_owners import OwnerTests
from k2core.testing.conformance.dedup_window import WindowTests


class DedupStoreSuite(ClaimTests, OwnerTests, WindowTests):
    """Claims, owners and the window of one dedup store; see `DedupFacts` for what a subclass gives and declares."""
