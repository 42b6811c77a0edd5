"""`k2 topics plan` and `k2 topics apply`: what a log lacks of topics, settings and schemas, and making it.

Survives a log or registry that goes away in between: what was made stays, and the next `apply` makes the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from k2core.cli.session import Session, current
from k2core.cli.terminal import print_json, print_table
from k2core.cli.topics import needed_topics, specs_of
from k2core.config.build import Assembly
from k2core.errors import BrokerError, ConfigError
from k2core.interfaces.broker import Broker, TopicChange, TopicSpec
from k2core.records.topics import Topic

FIELDS = ("kind", "name", "have", "want", "refused")
NAMED = click.argument("named", nargs=-1, metavar="[TOPIC]...")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="One array of {kind, name, have, want, refused}.")


@click.group()
def topics() -> None:
    """Show what topics, settings and schemas the log lacks, or make them.

    Of every data type of every configured connector and import, with its dead letters, and of each TOPIC named besides.
    """


@topics.command()
@NAMED
@AS_JSON
def plan(named: tuple[str, ...], as_json: bool) -> int:
    """Show what is missing or different, and change nothing. Exit code 1 where there is something to do."""
    session = current()
    if _makes_its_own(session):
        changes = unlike(session.assembly, named)
        _print(changes, as_json, "nothing to do: this log makes its topics as they are written to")
        return _refused(changes)
    with session.assembly.broker() as log:
        wanted = wanted_specs(session.assembly, log, named)
        changes = list(log.plan(wanted))
    _print(changes, as_json, f"nothing to do: {len(wanted)} topics are as they should be")
    if any(not change.refused for change in changes) and not as_json:
        click.echo(f"`{session.spelled('topics apply')}` does this", err=True)
    return 1 if changes else 0


@topics.command()
@NAMED
@AS_JSON
def apply(named: tuple[str, ...], as_json: bool) -> int:
    """Make what is missing, and change what is different; again does nothing.

    Exit code 0 only when all of it can be written to. Where one thing cannot be done nothing is, and exit code 1 says what.
    """
    session = current()
    if _makes_its_own(session):
        changes = unlike(session.assembly, named)
        _print(changes, as_json, "nothing to do: this log makes its topics as they are written to")
        return _refused(changes)
    with session.assembly.broker() as log:
        wanted = wanted_specs(session.assembly, log, named)
        changes = list(log.plan(wanted))
        if not _refused(changes):
            log.ensure_topics(wanted)
            _check_done(log, wanted)
    _print(changes, as_json, f"nothing to do: {len(wanted)} topics are as they should be")
    if changes and not as_json and not _refused(changes):
        click.echo("all of this was done", err=True)
    return _refused(changes)


def wanted_specs(assembly: Assembly, log: Broker, named: Sequence[str] = ()) -> list[TopicSpec]:
    """All topics that the settings need, and those named besides with their dead letters.

    Raises:
        ConfigError: A name is no topic's, or of a data type that nobody offers.
    """
    from k2core.cli.topics import DEAD_LETTERS

    known = assembly.data_types()
    besides = [_parsed(name) for name in named]
    if wrong := [topic for topic in besides if topic.data_type not in known]:
        raise ConfigError(
            f"topic {wrong[0].name}: there is no data type {wrong[0].data_type!r}; there are: {', '.join(known)}"
        )
    besides += [Topic(topic.asset_class, DEAD_LETTERS, topic.exchange) for topic in besides]
    return specs_of(dict.fromkeys([*needed_topics(assembly, log), *besides]), known)


def unlike(assembly: Assembly, named: Sequence[str] = ()) -> list[TopicChange]:
    """What a log that makes its own topics holds otherwise than these settings need it: that can only be refused."""
    log = assembly.broker()
    if not log.exists():
        return []
    with log:
        return [change for change in log.plan(wanted_specs(assembly, log, named)) if change.refused]


def _parsed(name: str) -> Topic:
    try:
        return Topic.parse(name)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _makes_its_own(session: Session) -> bool:
    return session.assembly.broker().makes_topics


def _refused(changes: Sequence[TopicChange]) -> int:
    """The exit code; says what cannot be done."""
    refused = [change for change in changes if change.refused]
    for change in refused:
        click.echo(f"error: {change.kind} {change.name}: {change.refused}", err=True)
    return 1 if refused else 0


def _check_done(log: Broker, wanted: Sequence[TopicSpec]) -> None:
    """Look again: somebody else may have changed the same things, or the log may have done only a part.

    Raises:
        BrokerError: Something is still to be done.
    """
    if left := list(log.plan(wanted)):
        first = left[0]
        raise BrokerError(
            f"{len(left)} of the changes did not last, the first: {first.kind} {first.name} is {first.have or 'missing'}, "
            f"wanted: {first.want}; does something else manage these topics? Running this again is safe"
        )


def _print(changes: Sequence[TopicChange], as_json: bool, none: str) -> None:
    if as_json:
        print_json([asdict(change) for change in changes])
    elif changes:
        print_table(FIELDS, [[getattr(change, name) for name in FIELDS] for change in changes])
    else:
        click.echo(none)
