"""`BrokerSuite`: what every log must do. `docs/specs/component.md` numbers the MUSTs as the tests are named.

class TestMyLog(BrokerSuite):
durable = processes = True

def open(self, place: Path, clock: Clock) -> Broker:
return MyLog(MySettings(path=place / "log"), clock)
"""

from __future__ import annotations

from k2core.testing.conformance.broker_keeping import KeepingTests
from k2core.testing.conformance.broker_records import RecordTests
from k2core.testing.conformance.broker_sharing import SharingTests


class BrokerSuite(RecordTests, KeepingTests, SharingTests):
    """Records, positions, waiting, other processes, retention and shares of one log; see `BrokerFacts` for what to declare."""
