"""The hooks a plugin may implement: synchronous, without arguments, called once at start-up, returning descriptors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from k2core.component import Component
    from k2core.interfaces.broker import Broker
    from k2core.interfaces.connector import Connector, WebSocketFeed
    from k2core.interfaces.dedup import DedupStore
    from k2core.interfaces.enricher import Enricher
    from k2core.interfaces.importer import Importer
    from k2core.interfaces.normalizer import Normalizer
    from k2core.interfaces.query import QuerySource
    from k2core.interfaces.sink import Sink
    from k2core.records.data_type import DataType

PROJECT = "k2"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def k2_connectors() -> Iterable[Component[Connector | WebSocketFeed]]:  # type: ignore[empty-body]
    """Exchanges' feeds; `capabilities` is a `ConnectorFacts`."""


@hookspec
def k2_normalizers() -> Iterable[Component[Normalizer]]:  # type: ignore[empty-body]
    """Frames to records."""


@hookspec
def k2_enrichers() -> Iterable[Component[Enricher]]:  # type: ignore[empty-body]
    """Further columns of rows, worked out after the log."""


@hookspec
def k2_dedup_stores() -> Iterable[Component[DedupStore]]:  # type: ignore[empty-body]
    """Memories of what is stored already."""


@hookspec
def k2_sinks() -> Iterable[Component[Sink]]:  # type: ignore[empty-body]
    """Places that keep tables."""


@hookspec
def k2_brokers() -> Iterable[Component[Broker]]:  # type: ignore[empty-body]
    """Logs."""


@hookspec
def k2_query_sources() -> Iterable[Component[QuerySource]]:  # type: ignore[empty-body]
    """Cold readers of what a sink keeps; a source of the sink's name, with its settings, reads that sink."""


@hookspec
def k2_importers() -> Iterable[Component[Importer]]:  # type: ignore[empty-body]
    """Readers of files, for `k2 import`."""


@hookspec
def k2_data_types() -> Iterable[DataType]:  # type: ignore[empty-body]
    """Kinds of record."""


@hookspec
def k2_commands() -> Iterable[click.Command]:  # type: ignore[empty-body]
    """Further subcommands of `k2`; what their bodies need is imported in their bodies."""


@hookspec
def k2_local_exchanges() -> Iterable[Component[object]]:  # type: ignore[empty-body]
    """Local exchanges for `k2 demo`: an object with the interface of `k2core.testing.LocalExchange`."""
