"""`k2 lag`: how far each table is behind the log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import click

from k2core.cli.session import current
from k2core.cli.terminal import print_json, print_table
from k2core.cli.topics import existing_log, topics_of
from k2core.config.build import Assembly


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """Records in the log beyond one table."""

    data_type: str
    table: str
    topics: int
    records: int
    snapshot_id: int | None


def lags(assembly: Assembly) -> Iterator[Lag]:
    """The lag of every table of the first sink.

    Raises:
        K2Error: Log or table cannot be read.
    """
    with existing_log(assembly) as log, assembly.query_source() as source:
        for data_type in assembly.data_types().values():
            if data_type.table is None:
                continue
            topics = topics_of(data_type.name, log)
            head = source.table(data_type).newest()
            behind = sum(max(0, end - head.offsets.get(p, 0)) for p, end in log.ends(topics).items())
            yield Lag(
                data_type=data_type.name,
                table=data_type.table,
                topics=len(topics),
                records=behind,
                snapshot_id=head.id,
            )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One array of objects.")
def lag(as_json: bool) -> None:
    """Say how many records of the log are not in their table yet."""
    found = [asdict(entry) for entry in lags(current().assembly)]
    if as_json:
        print_json(found)
    else:
        headers = ("data_type", "table", "topics", "records", "snapshot_id")
        print_table(headers, [[entry[h] for h in headers] for entry in found])
