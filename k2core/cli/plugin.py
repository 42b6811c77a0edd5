"""`k2 plugin new`: a plugin project to start from."""

from __future__ import annotations

from pathlib import Path

import click

from k2core.discovery.registry import KNOWN
from k2core.errors import ConfigError
from k2core.scaffold.new import KINDS, write


@click.group()
def plugin() -> None:
    """Write plugins."""


@plugin.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), default="connector", show_default=True, help="What it offers.")
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Folder that it is written into."
)
def new(name: str, kind: str, into: Path) -> None:
    """Write ./k2-plugin-NAME: a small plugin that works, with its tests, to be changed into yours."""
    if name in {known for names in KNOWN.values() for known in names}:
        raise ConfigError(f"k2-plugin-{name} exists already, and yours would replace it: take another name")
    files = write(name, kind, into)
    folder = into / f"k2-plugin-{name}"
    click.echo(f"wrote {len(files)} files into {folder}; its README.md says what to change first. Now:")
    click.echo(f"  cd {folder} && python3 -m pip install -e '.[test]' && pytest && k2 plugins")
    click.echo("in the environment that has k2core (from a checkout: python3 -m pip install -e CHECKOUT first).")
