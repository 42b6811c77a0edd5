"""`k2 plugin new`: a plugin project to start from."""

from __future__ import annotations

from pathlib import Path

import click

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
    files = write(name, kind, into)
    folder = into / f"k2-plugin-{name}"
    click.echo(f"wrote {len(files)} files into {folder}; its README.md says what to change first. Now:")
    click.echo(f"  cd {folder} && python3 -m pip install -e '.[test]' && pytest && k2 plugins")
