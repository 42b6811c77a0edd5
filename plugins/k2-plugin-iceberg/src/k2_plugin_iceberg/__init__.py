"""Iceberg for k2: the sink that stores exactly once, and the query source that reads it with DuckDB.

This module is what discovery imports: nothing heavy may be imported here; pyiceberg (400 ms), pyarrow and DuckDB come
in with the factories.
"""

from __future__ import annotations

from collections.abc import Iterable

from k2_plugin_iceberg.settings import IcebergSettings
from k2core.plugin import Component, Context, QuerySource, Sink, hookimpl


def _sink(settings: IcebergSettings, context: Context) -> Sink:
    from k2_plugin_iceberg.sink import IcebergSink

    return IcebergSink(settings, context)


def _source(settings: IcebergSettings, context: Context) -> QuerySource:
    from k2_plugin_iceberg.source import IcebergSource

    return IcebergSource(settings, context)


@hookimpl
def k2_sinks() -> Iterable[Component[Sink]]:
    """The sink `iceberg`."""
    return [
        Component(
            name="iceberg",
            summary="Iceberg tables in a local warehouse, offsets in the same commit as the rows",
            settings=IcebergSettings,
            factory=_sink,
        )
    ]


@hookimpl
def k2_query_sources() -> Iterable[Component[QuerySource]]:
    """The query source `iceberg`: reads what the sink of that name keeps."""
    return [
        Component(
            name="iceberg",
            summary="Iceberg tables through a plan cache and DuckDB",
            settings=IcebergSettings,
            factory=_source,
        )
    ]
