"""`k2 consumers`: who reads the log, what it keeps for each of them, and how to make it wait no longer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import click

from k2core.broker.spans import lag_of
from k2core.cli.session import current
from k2core.cli.terminal import print_json, print_table, readable_times
from k2core.cli.topics import consumer_name, existing_log
from k2core.config.build import Assembly
from k2core.errors import ConfigError
from k2core.interfaces.broker import Broker

BY_TIME = "this log keeps records by time, not for named consumers; `k2 lag` tells how far writers are"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """One consumer of the log.

    Args:
        name: Sink and table: `lake.market.trades`.
        topics: How many it reads.
        kept: Records that retention keeps for it, whatever their age.
        released_us: When it last released any, Unix µs; None where it never did.
        known: Whether a sink of these settings has that table.
    """

    name: str
    topics: int
    kept: int
    released_us: int | None
    known: bool


@click.group()
def consumers() -> None:
    """List who reads the log, or remove one that never comes back: retention waits for each of them."""


@consumers.command("list")
@click.option("--json", "as_json", is_flag=True, help="One array of objects.")
def list_(as_json: bool) -> None:
    """List registered consumers: what retention keeps for each, and whether these settings have its table."""
    assembly = current().assembly
    with existing_log(assembly) as log:
        found = [asdict(one) for one in registered(assembly, log)]
        by_time = type(log).consumers is Broker.consumers  # it overrides nothing: it keeps nothing for anybody
    if as_json:
        print_json(found)
    elif by_time:
        click.echo(BY_TIME)
    else:
        headers = ("name", "topics", "kept", "released_us", "known")
        print_table(headers, readable_times(headers, [[entry[h] for h in headers] for entry in found]))


@consumers.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Although these settings have its table.")
def remove(name: str, force: bool) -> None:
    """Forget the consumer NAME: what the log keeps for it alone goes with the next retention."""
    assembly = current().assembly
    with existing_log(assembly) as log:
        found = {one.name: one for one in registered(assembly, log)}
        if name not in found:
            raise ConfigError(f"the log has no consumer {name!r}; there are: {', '.join(sorted(found)) or 'none'}")
        if found[name].known and not force:
            raise ConfigError(
                f"{name} is a table of these settings: `k2 write` and `k2 ingest` would register it again. Take its sink out "
                "of k2.toml first; or, with k2 stopped, use --force to let retention remove what it has not stored"
            )
        log.unregister(name)
    click.echo(f"removed {name}: {found[name].kept:,} records are kept for it no longer")


def registered(assembly: Assembly, log: Broker) -> Iterator[Registered]:
    """Every consumer of the log, by name."""
    tables = {
        consumer_name(s.instance, t) for s in assembly.config.sinks for t in assembly.data_types().values() if t.table
    }
    for name, one in sorted(log.consumers().items()):
        topics = sorted({topic for topic, _ in one.released})
        starts = log.starts(topics)
        held = {place: max(offset, starts.get(place, 0)) for place, offset in one.released.items()}
        yield Registered(
            name=name,
            topics=len(topics),
            kept=sum(lag_of(log.ends(topics), held).values()),
            released_us=one.released_us or None,
            known=name in tables,
        )
