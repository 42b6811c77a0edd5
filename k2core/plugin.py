"""All that a plugin imports. Semantic versioning covers these names, `k2core.testing` and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from k2core.clock import Clock, SystemClock
from k2core.component import Component, Context, Settings
from k2core.errors import (
    Away,
    BrokerAwayError,
    BrokerError,
    CommitConflictError,
    CommitUnknownError,
    ConfigError,
    ConnectorError,
    DedupAwayError,
    DedupError,
    FencedError,
    K2Error,
    LogBusyError,
    LogCorruptError,
    LogFullError,
    LogVersionError,
    NormalizationError,
    OffsetGoneError,
    Permanent,
    PluginError,
    QueryError,
    SchemaError,
    SinkError,
    TopicChangedError,
    TopicMissingError,
    Transient,
)
from k2core.exchanges.feed import ExchangeFeed
from k2core.exchanges.hooks import ExchangeHooks, exchange_hooks
from k2core.exchanges.settings import ExchangeSettings
from k2core.exchanges.spelling import Spelling
from k2core.hookspecs import hookimpl
from k2core.interfaces.broker import (
    Broker,
    Consumer,
    ConsumerInfo,
    EncodedBatch,
    LogBlock,
    Offsets,
    Partition,
    Producer,
    TopicChange,
    TopicInfo,
    TopicSpec,
)
from k2core.interfaces.checks import Finding
from k2core.interfaces.connector import (
    ConnectionLimits,
    Connector,
    FrameKind,
    Reply,
    Request,
    RestClient,
    RestResponse,
    WebSocketFeed,
)
from k2core.interfaces.dedup import DedupStore, StoredIdentities
from k2core.interfaces.enricher import Enricher
from k2core.interfaces.frames import (
    ChannelFacts,
    ConnectorFacts,
    FrameBatch,
    NormalizedBatch,
    Rejected,
    Subscription,
)
from k2core.interfaces.identities import IdentityBatch, Stream, number_of
from k2core.interfaces.importer import Importer, ImportSource, Mark
from k2core.interfaces.normalizer import Normalizer
from k2core.interfaces.query import Key, QuerySource, Scanned, Selection, Snapshot, SourceTable
from k2core.interfaces.sharing import Leaving, Membership
from k2core.interfaces.shed import Shed, merged_shed, restored_shed
from k2core.interfaces.sink import Gone, Head, LogFacts, MaintenanceReport, Ownership, Sink, SinkTable, Staged
from k2core.parsing.fields import Built, QuoteColumns, TradeColumns, quote_records, trade_records
from k2core.parsing.parser import FrameParser
from k2core.parsing.refusals import UNREADABLE, Refusal, RejectFrame, refusal_of
from k2core.parsing.shapes import Quote, Row, Trade, unix_us
from k2core.records.data_type import Column, DataType
from k2core.records.topics import PARTITIONS, Topic, partition_of
from k2core.telemetry.metric import Metric
from k2core.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from k2core.keys.flight import Claimed, InFlight, first_copies
    from k2core.keys.groups import NEVER_SURE, KeyGroup, KeySpace, key_groups
    from k2core.keys.window import KeyWindow
    from k2core.keys.windows import KeyWindows

_WITH_NUMPY = {
    "flight": ("Claimed", "InFlight", "first_copies"),
    "groups": ("NEVER_SURE", "KeyGroup", "KeySpace", "key_groups"),
    "window": ("KeyWindow",),
    "windows": ("KeyWindows",),
}
"""For dedup stores; imported when first asked for, since numpy comes with them."""

__all__ = [
    "NEVER_SURE",
    "PARTITIONS",
    "UNREADABLE",
    "Away",
    "Broker",
    "BrokerAwayError",
    "BrokerError",
    "Built",
    "ChannelFacts",
    "Claimed",
    "Clock",
    "Column",
    "CommitConflictError",
    "CommitUnknownError",
    "Component",
    "ConfigError",
    "ConnectionLimits",
    "Connector",
    "ConnectorError",
    "ConnectorFacts",
    "Consumer",
    "ConsumerInfo",
    "Context",
    "DataType",
    "DedupAwayError",
    "DedupError",
    "DedupStore",
    "EncodedBatch",
    "Enricher",
    "ExchangeFeed",
    "ExchangeHooks",
    "ExchangeSettings",
    "FencedError",
    "Finding",
    "FrameBatch",
    "FrameKind",
    "FrameParser",
    "Gone",
    "Head",
    "IdentityBatch",
    "ImportSource",
    "Importer",
    "InFlight",
    "K2Error",
    "Key",
    "KeyGroup",
    "KeySpace",
    "KeyWindow",
    "KeyWindows",
    "Leaving",
    "LogBlock",
    "LogBusyError",
    "LogCorruptError",
    "LogFacts",
    "LogFullError",
    "LogVersionError",
    "MaintenanceReport",
    "Mark",
    "Membership",
    "Metric",
    "Metrics",
    "NormalizationError",
    "NormalizedBatch",
    "Normalizer",
    "OffsetGoneError",
    "Offsets",
    "Ownership",
    "Partition",
    "Permanent",
    "PluginError",
    "Producer",
    "QueryError",
    "QuerySource",
    "Quote",
    "QuoteColumns",
    "Refusal",
    "RejectFrame",
    "Rejected",
    "Reply",
    "Request",
    "RestClient",
    "RestResponse",
    "Row",
    "Scanned",
    "SchemaError",
    "Selection",
    "Settings",
    "Shed",
    "Sink",
    "SinkError",
    "SinkTable",
    "Snapshot",
    "SourceTable",
    "Spelling",
    "Staged",
    "StoredIdentities",
    "Stream",
    "Subscription",
    "SystemClock",
    "Topic",
    "TopicChange",
    "TopicChangedError",
    "TopicInfo",
    "TopicMissingError",
    "TopicSpec",
    "Trade",
    "TradeColumns",
    "Transient",
    "WebSocketFeed",
    "exchange_hooks",
    "first_copies",
    "hookimpl",
    "key_groups",
    "merged_shed",
    "number_of",
    "partition_of",
    "quote_records",
    "refusal_of",
    "restored_shed",
    "trade_records",
    "unix_us",
]


def __getattr__(name: str) -> Any:
    for module, names in _WITH_NUMPY.items():
        if name in names:
            import importlib

            return getattr(importlib.import_module(f"k2core.keys.{module}"), name)
    raise AttributeError(f"k2core.plugin has no {name}")
