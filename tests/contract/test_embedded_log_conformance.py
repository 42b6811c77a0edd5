"""The embedded log keeps every MUST of a log."""

from __future__ import annotations

from pathlib import Path

from k2core.broker.embedded import EmbeddedBroker
from k2core.broker.settings import EmbeddedSettings
from k2core.clock import Clock
from k2core.interfaces.broker import Broker
from k2core.testing.conformance.broker import BrokerSuite


class TestEmbeddedLog(BrokerSuite):
    durable = processes = checks = True
    retention_s = 7200

    def open(self, place: Path, clock: Clock) -> Broker:
        settings = EmbeddedSettings(path=place / "log.db", retention_hours=1, slack_hours=0.5, sweep_s=0)
        return EmbeddedBroker(settings, clock)

    def damage(self, place: Path) -> None:
        """One bit of record 42, wherever SQLite has put it."""
        for path in (place / "log.db", place / "log.db-wal"):
            text = bytearray(path.read_bytes()) if path.exists() else bytearray()
            if (at := text.rfind(bytes([42]) * 50)) > 0:
                text[at] ^= 1
                path.write_bytes(text)
                return
        raise AssertionError("record 42 is in no file of the log")
