"""`k2 plugins`: what is installed, who offers it, and what is wrong with what cannot be used. Always exits 0."""

from __future__ import annotations

from dataclasses import replace

import click

from k2core.cli.lazy import LazyGroup
from k2core.cli.session import current
from k2core.cli.terminal import print_json, print_table
from k2core.discovery import Entry

FIELDS = ("kind", "name", "distribution", "version", "state", "error")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One array of objects.")
def plugins(as_json: bool) -> None:
    """List every component, data type and command, with distribution, version and state."""
    group = click.get_current_context().find_root().command
    reserved = group.reserved() if isinstance(group, LazyGroup) else frozenset()
    entries = [with_command_clash(entry, reserved) for entry in current().registry.entries]
    rows = [[getattr(entry, field) for field in FIELDS] for entry in entries]
    if as_json:
        print_json([dict(zip(FIELDS, row, strict=True)) for row in rows])
        return
    print_table(FIELDS, rows)
    if not any(entry.kind == "connector" and entry.state == "ok" for entry in entries):
        click.echo("no connector is installed: try `pip install k2-plugin-binance`", err=True)


def with_command_clash(entry: Entry, reserved: frozenset[str]) -> Entry:
    """A plugin's command that has the name of a built-in one clashes with it."""
    if entry.kind != "command" or entry.state != "ok" or entry.name not in reserved:
        return entry
    text = f"command {entry.name!r} of {entry.provenance} has the name of a built-in command and cannot be called"
    return replace(entry, state="clash", error=text)
