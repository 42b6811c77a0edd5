"""Builds what `k2 serve` and `k2 query` answer with, from settings and components."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from k2core.cli.topics import channel_facts, declared_topics, ensure_topics, existing_log, topics_of
from k2core.config.build import Assembly
from k2core.errors import QueryError

if TYPE_CHECKING:
    from k2core.admission import Admission
    from k2core.api.run import ServeParts
    from k2core.records.data_type import DataType


def tabled(assembly: Assembly) -> list[DataType]:
    """Data types that have a table; trades, which most questions are about, come first and are the default."""
    found = [data_type for data_type in assembly.table_types().values() if data_type.table]
    return sorted(found, key=lambda data_type: (data_type.name != "trades", data_type.name))


def one_type(assembly: Assembly, name: str) -> DataType:
    """The data type of a name.

    Raises:
        QueryError: There is none that has a table.
    """
    from k2core.discovery import did_you_mean

    found = {data_type.name: data_type for data_type in tabled(assembly)}
    if name not in found:
        hint = did_you_mean(name, found) or f"; there are: {', '.join(found)}"
        raise QueryError(f"there is no data type {name!r}{hint}", kind="unknown-data-type", status=404)
    return found[name]


def admission(assembly: Assembly, data_type: DataType) -> Admission:
    """What judges the records of a data type: the same for the writer and for every tail."""
    from k2core.admission import Admission
    from k2core.admission.enrichment import Enrichment, Running

    running = tuple(
        Running.of(one.instance, one.provenance, one.enricher, active=one.active)
        for one in assembly.enriching()
        if one.enricher.data_type == data_type.name
    )
    writer = assembly.config.writer
    return Admission(
        data_type,
        channel_facts(assembly.registry, data_type.name, assembly.importers().values()),
        max_future_s=writer.max_future_s,
        max_past_days=writer.max_past_days,
        enrichment=Enrichment(running, assembly.metrics),
    )


@contextmanager
def serve_parts(assembly: Assembly, data_types: Sequence[DataType], *, reading: bool = False) -> Iterator[ServeParts]:
    """Open log and tables; log and topics that the configured connectors will write are made if they are missing.

    Args:
        assembly: Constructs the parts.
        data_types: Those to answer for.
        reading: Make nothing: a log that is not there is an error, topics that are not there have no records.

    Raises:
        K2Error: Something cannot be opened.
    """
    from k2core.api.run import ServeParts

    config = assembly.config
    with existing_log(assembly) if reading else assembly.broker() as log, assembly.query_source() as source:
        declared = [] if reading else declared_topics(assembly)
        ensure_topics(log, declared, assembly.data_types())
        yield ServeParts(
            data_types=data_types,
            source=source,
            broker=log,
            admissions={t.name: admission(assembly, t) for t in data_types},
            topics={t.name: topics_of(t.name, log, declared) for t in data_types},
            query=config.query,
            api=config.api,
            run=config.run,
            clock=assembly.clock,
            metrics=assembly.metrics,
            find_topics=lambda name: topics_of(name, log, declared),
            announce_s=config.degradation.announce_s,
        )
