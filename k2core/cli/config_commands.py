"""`k2 config show` and `k2 config check`."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace

import click

from k2core.cli.session import current
from k2core.cli.terminal import print_json, print_table
from k2core.config.validate import SectionError
from k2core.errors import ConfigError


@click.group()
def config() -> None:
    """Show the settings that hold, or check them."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="One array of {key, value, origin}.")
def show(as_json: bool) -> None:
    """Print every setting with its value and where it comes from; secrets are masked."""
    from k2core.config.show import rows

    session = current()
    found = rows(session.config, session.registry)
    if as_json:
        print_json([asdict(row) for row in found])
    else:
        print_table(("key", "value", "origin"), [(r.key, r.value, r.origin) for r in found])


@config.command()
@click.option("--json", "as_json", is_flag=True, help="One object: {valid, file, problems, notes}.")
@click.option("--online", is_flag=True, help="Ask the exchanges, too, whether they know the symbols.")
def check(as_json: bool, online: bool) -> int:
    """Say everything that is wrong with the settings, without touching anything. Exit code 2 where something is."""
    found = find_problems()
    if online and not found.problems:
        from k2core.cli.asking import ask

        unknown, unasked = ask(current().assembly)
        found = replace(found, problems=unknown, notes=[*found.notes, *unasked])
    if as_json:
        print_json({"valid": not found.problems, **asdict(found)})
        return 2 if found.problems else 0
    for line in found.problems:
        click.echo(line, err=True)
    for line in found.notes:
        click.echo(f"note: {line}", err=True)
    if not found.problems:
        click.echo(f"{found.file or 'no k2.toml: all defaults'}: no mistake found")
    return 2 if found.problems else 0


@dataclass(frozen=True, slots=True)
class Findings:
    """What a look at the settings found: the file, every mistake, and what is probably not meant; a line each."""

    file: str | None
    problems: list[str]
    notes: list[str] = field(default_factory=list)


def find_problems() -> Findings:
    """Look at the settings, without any I/O but reading them."""
    from k2core.config.check import problems
    from k2core.config.notes import notes

    session = current()
    broken = session.file_problems()
    try:
        settings = session.config
    except SectionError as error:
        return Findings(None, [*broken, *error.problems])
    except ConfigError as error:
        return Findings(None, [*broken, str(error)])
    file = settings.layers.file
    found = [*broken, *problems(settings, session.registry)]
    return Findings(str(file) if file else None, found, notes(settings, session.registry, os.environ))
