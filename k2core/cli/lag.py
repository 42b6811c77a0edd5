"""`k2 lag`: how far each table is behind the log, in records and in seconds, by partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click

from k2core.broker.history import check_history
from k2core.broker.spans import lag_of
from k2core.cli.session import current
from k2core.cli.terminal import print_json, print_table
from k2core.cli.topics import existing_log, topics_of
from k2core.clock import Clock
from k2core.config.build import Assembly
from k2core.interfaces.broker import Broker, Offsets, Partition

LOOK_S = 2.0
"""So long is waited for the oldest records of all partitions; ages that are not known by then are left out."""
ALL = "all"
UNKNOWN = "?"
HEADERS = ("data_type", "table", "topic", "partition", "records", "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionLag:
    """What a table lacks of one partition.

    Args:
        records: How many; across an epoch of the log at least so many.
        seconds: Age of the oldest of them by the log's append time; None where it was not told in time.
    """

    topic: str
    partition: int
    records: int
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """What one table lacks of the log.

    Args:
        topics: How many feed it.
        records: Of all partitions.
        seconds: Age of the oldest one; 0 where there is none, None where none was told in time.
        snapshot_id: The table as it was looked at; None where there is none yet.
        partitions: Those that it lacks records of.
    """

    data_type: str
    table: str
    topics: int
    records: int
    seconds: float | None
    snapshot_id: int | None
    partitions: tuple[PartitionLag, ...]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One array of objects, each with its partitions.")
def lag(as_json: bool) -> None:
    """Say what tables lack of the log: records, and the age of the oldest of them, by partition."""
    found = lags(current().assembly)
    if as_json:
        print_json([asdict(entry) for entry in found])
        return
    print_table(HEADERS, [row for entry in found for row in _rows(entry)])
    records, seconds = sum(entry.records for entry in found), oldest([entry.seconds for entry in found])
    click.echo(f"total: {records:,} records, {UNKNOWN if seconds is None else f'{seconds:,.1f}'} s behind")


def _rows(entry: Lag) -> list[list[Any]]:
    shown = [(one.topic, one.partition, one.records, one.seconds) for one in entry.partitions]
    every = (ALL, ALL, entry.records, entry.seconds)
    return [
        [entry.data_type, entry.table, topic, str(partition), records, UNKNOWN if seconds is None else seconds]
        for topic, partition, records, seconds in [*shown, every]
    ]


def lags(assembly: Assembly) -> list[Lag]:
    """The lag of every table of the first sink.

    Raises:
        TopicChangedError: The log is another one than a table's, and its offsets tell nothing of it.
        K2Error: Log or table cannot be read.
    """
    types = [kind for kind in assembly.data_types().values() if kind.table is not None]
    with existing_log(assembly) as log, assembly.query_source() as source:
        topics = {kind.name: topics_of(kind.name, log) for kind in types}
        heads = {kind.name: source.table(kind).newest() for kind in types}
        for kind in types:
            check_history(log, heads[kind.name], str(kind.table))
        every = sorted({topic for names in topics.values() for topic in names})
        # Ends after heads: what a writer commits in between is not counted twice, only not yet.
        ends, starts = log.ends(every), log.starts(every)
        stored = {place: offset for head in heads.values() for place, offset in head.offsets.items()}
        next_ones = {place: max(stored.get(place, 0), starts.get(place, 0)) for place in ends}
        records = lag_of(ends, next_ones)
        ages = ages_of(log, {place: next_ones[place] for place in records}, ends, assembly.clock)
    found = []
    for kind in types:
        own = tuple(
            PartitionLag(topic=place[0], partition=place[1], records=records[place], seconds=ages.get(place))
            for place in sorted(records)
            if place[0] in topics[kind.name]
        )
        found.append(
            Lag(
                data_type=kind.name,
                table=str(kind.table),
                topics=len(topics[kind.name]),
                records=sum(one.records for one in own),
                seconds=oldest([one.seconds for one in own]),
                snapshot_id=heads[kind.name].id,
                partitions=own,
            )
        )
    return found


def oldest(seconds: Sequence[float | None]) -> float | None:
    """The largest; 0 of none, and None where none is known."""
    known = [one for one in seconds if one is not None]
    return max(known) if known else (None if seconds else 0.0)


def ages_of(log: Broker, wanted: Offsets, ends: Offsets, clock: Clock) -> Mapping[Partition, float]:
    """By partition, the age of the record at an offset, in seconds; one record of each is read, all of them at once.

    Args:
        log: The log.
        wanted: The offsets.
        ends: Next offset of every partition that has had a record.
        clock: For the age, and for how long is waited.
    """
    found: dict[Partition, float] = {}
    if not wanted:
        return found
    topics = sorted({topic for topic, _ in wanted})
    # What is not asked for, or answered, is read from its end on: it has nothing to say.
    silent = {place: end for place, end in ends.items() if place[0] in topics and place not in wanted}
    consumer, deadline = log.consumer(topics), clock.monotonic() + LOOK_S
    try:
        consumer.seek({**silent, **wanted})
        while len(found) < len(wanted) and (left := deadline - clock.monotonic()) > 0:
            answered = {}
            for block in consumer.poll(len(wanted), left):
                place = (block.topic, block.partition)
                if place in wanted and place not in found:
                    found[place] = round(max(0.0, (clock.now_us() - block.timestamp_us) / 1e6), 3)
                    answered[place] = ends[place]
            consumer.seek(answered)
    finally:
        consumer.close()
    return found
