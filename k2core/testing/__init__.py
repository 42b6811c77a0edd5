"""What plugin authors test with: a scripted local exchange, an oracle, a clock that a test moves by hand.

Importing this package imports nothing heavy; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from k2core.testing.capture import Capture as Capture
    from k2core.testing.capture import capturing as capturing
    from k2core.testing.clock import ManualClock as ManualClock
    from k2core.testing.conformance.broker import BrokerSuite as BrokerSuite
    from k2core.testing.conformance.connector import ConnectorSuite as ConnectorSuite
    from k2core.testing.conformance.data_type import DataTypeSuite as DataTypeSuite
    from k2core.testing.conformance.dedup_store import DedupStoreSuite as DedupStoreSuite
    from k2core.testing.conformance.enricher import EnricherSuite as EnricherSuite
    from k2core.testing.conformance.examples import Example as Example
    from k2core.testing.conformance.facts import needs as needs
    from k2core.testing.conformance.importer import ImporterSuite as ImporterSuite
    from k2core.testing.conformance.normalizer import NormalizerSuite as NormalizerSuite
    from k2core.testing.conformance.query_source import QuerySourceSuite as QuerySourceSuite
    from k2core.testing.conformance.sink import SinkSuite as SinkSuite
    from k2core.testing.conformance.suite import Suite as Suite
    from k2core.testing.conformance.suite import deviates as deviates
    from k2core.testing.contexts import context as context
    from k2core.testing.dialect import Dialect as Dialect
    from k2core.testing.dialect import Memory as Memory
    from k2core.testing.exchange import FakeExchange as FakeExchange
    from k2core.testing.exchange import ServerLimits as ServerLimits
    from k2core.testing.issued import Issued as Issued
    from k2core.testing.issued import exact as exact
    from k2core.testing.local import LocalExchange as LocalExchange
    from k2core.testing.memory_log import MemoryLog as MemoryLog
    from k2core.testing.memory_sink import MemorySink as MemorySink
    from k2core.testing.memory_sink import MemorySource as MemorySource
    from k2core.testing.oracle import OracleReport as OracleReport
    from k2core.testing.oracle import compare as compare
    from k2core.testing.playing import Placed as Placed
    from k2core.testing.playing import TapeExchange as TapeExchange
    from k2core.testing.tape import Deal as Deal
    from k2core.testing.tape import Event as Event
    from k2core.testing.tape import Top as Top
    from k2core.testing.tape import generated as generated
    from k2core.testing.tape import grouped as grouped
    from k2core.testing.tape_settings import TapeSettings as TapeSettings
    from k2core.testing.wording import broken_off as broken_off
    from k2core.testing.wording import compact_json as compact_json
    from k2core.testing.wording import utc_text as utc_text
    from k2core.testing.wording import utc_us as utc_us

_HOMES = {
    "BrokerSuite": "conformance.broker",
    "Capture": "capture",
    "ConnectorSuite": "conformance.connector",
    "DataTypeSuite": "conformance.data_type",
    "Deal": "tape",
    "DedupStoreSuite": "conformance.dedup_store",
    "Dialect": "dialect",
    "EnricherSuite": "conformance.enricher",
    "Event": "tape",
    "Example": "conformance.examples",
    "FakeExchange": "exchange",
    "ImporterSuite": "conformance.importer",
    "Issued": "issued",
    "LocalExchange": "local",
    "ManualClock": "clock",
    "Memory": "dialect",
    "MemoryLog": "memory_log",
    "MemorySink": "memory_sink",
    "MemorySource": "memory_sink",
    "NormalizerSuite": "conformance.normalizer",
    "OracleReport": "oracle",
    "Placed": "playing",
    "QuerySourceSuite": "conformance.query_source",
    "ServerLimits": "exchange",
    "SinkSuite": "conformance.sink",
    "Suite": "conformance.suite",
    "TapeExchange": "playing",
    "TapeSettings": "tape_settings",
    "Top": "tape",
    "broken_off": "wording",
    "capturing": "capture",
    "compact_json": "wording",
    "compare": "oracle",
    "context": "contexts",
    "deviates": "conformance.suite",
    "exact": "issued",
    "generated": "tape",
    "grouped": "tape",
    "needs": "conformance.facts",
    "utc_text": "wording",
    "utc_us": "wording",
}

__all__ = [
    "BrokerSuite",
    "Capture",
    "ConnectorSuite",
    "DataTypeSuite",
    "Deal",
    "DedupStoreSuite",
    "Dialect",
    "EnricherSuite",
    "Event",
    "Example",
    "FakeExchange",
    "ImporterSuite",
    "Issued",
    "LocalExchange",
    "ManualClock",
    "Memory",
    "MemoryLog",
    "MemorySink",
    "MemorySource",
    "NormalizerSuite",
    "OracleReport",
    "Placed",
    "QuerySourceSuite",
    "ServerLimits",
    "SinkSuite",
    "Suite",
    "TapeExchange",
    "TapeSettings",
    "Top",
    "broken_off",
    "capturing",
    "compact_json",
    "compare",
    "context",
    "deviates",
    "exact",
    "generated",
    "grouped",
    "needs",
    "utc_text",
    "utc_us",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
