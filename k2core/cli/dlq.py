"""`k2 dlq`: dead letters, read from the log's own topics, each once however often a crash made it be written."""

from __future__ import annotations

import base64
import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from k2core.cli.session import current
from k2core.cli.terminal import print_json, print_table, readable_times
from k2core.cli.topics import DEAD_LETTERS, existing_log, topics_of

if TYPE_CHECKING:
    from k2core.interfaces.broker import Broker, LogBlock
    from k2core.records.data_type import DataType

SHOWN_BYTES = 120
POLL_RECORDS = 8192


@click.command()
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="One array of objects; payload in base64.")
def dlq(limit: int, as_json: bool) -> None:
    """List dead letters, newest first: what could not become a record, and why."""
    assembly = current().assembly
    with existing_log(assembly) as log:
        found = newest(letters(log, assembly.data_types()[DEAD_LETTERS]), limit)
    if as_json:
        print_json([{**row, "payload": base64.b64encode(row["payload"]).decode()} for row in found])
        return
    headers = ("exchange_timestamp_ms", "exchange", "symbol", "stage", "reason", "detail", "origin", "payload")
    print_table(headers, readable_times(headers, [[_shown(row[h]) for h in headers] for row in found]))
    click.echo(f"{len(found)} dead letter{'s' * (len(found) != 1)}", err=True)


def newest(rows: Iterator[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """The newest so many, newest first."""
    return heapq.nlargest(limit, rows, key=lambda row: row["exchange_timestamp_ms"])


def letters(log: Broker, data_type: DataType) -> Iterator[dict[str, Any]]:
    """Every dead letter in the log, once by its origin."""
    topics = topics_of(DEAD_LETTERS, log)
    if not topics:
        return
    consumer = log.consumer(topics)
    consumer.seek(log.starts(topics))
    seen: set[tuple[Any, ...]] = set()
    while blocks := consumer.poll(POLL_RECORDS, 0):
        for row in rows_of(blocks, data_type):
            if (key := source_of(row)) not in seen:
                seen.add(key)
                yield row
    consumer.close()


def source_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes a dead letter one: a log position for ever, a frame's number with its time (numbers start again)."""
    time = row["exchange_timestamp_ms"] if row["stage"] == "normalize" else None
    return row["exchange"], row["stage"], row["origin"], time


def rows_of(blocks: Sequence[LogBlock], data_type: DataType) -> Iterator[dict[str, Any]]:
    """Blocks as rows."""
    from k2core.avro.codec import Codec

    codec = Codec(data_type)
    for block in blocks:
        yield from codec.decode(block.version, block.sizes, block.data).batch.to_pylist()


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        text = value[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
        return text + ("…" if len(value) > SHOWN_BYTES else "")
    return value
