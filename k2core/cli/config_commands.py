"""`k2 config show` and `k2 config check`."""

from __future__ import annotations

from dataclasses import asdict

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
@click.option("--json", "as_json", is_flag=True, help="One object: {valid, file, problems}.")
def check(as_json: bool) -> int:
    """Say everything that is wrong with the settings, without touching anything. Exit code 2 where something is."""
    file, found = find_problems()
    if as_json:
        print_json({"valid": not found, "file": file, "problems": found})
    elif found:
        for line in found:
            click.echo(line, err=True)
    else:
        click.echo(f"{file or 'no k2.toml: all defaults'}: no mistake found")
    return 2 if found else 0


def find_problems() -> tuple[str | None, list[str]]:
    """The settings file, and every mistake."""
    from k2core.config.check import problems

    session = current()
    try:
        settings = session.config
    except SectionError as error:
        return None, error.problems
    except ConfigError as error:
        return None, [str(error)]
    file = settings.layers.file
    return str(file) if file else None, problems(settings, session.registry)
