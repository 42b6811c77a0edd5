"""`k2 keys`: API keys. A key is shown when it is made and never again; only its hash is kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from k2core.cli.session import current
from k2core.cli.terminal import print_json, print_table
from k2core.errors import ConfigError

if TYPE_CHECKING:
    from k2core.api.keys import KeysFile


@click.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One object: {name, key}.")
def make(name: str, as_json: bool) -> None:
    """Make a key called NAME and print it. It cannot be shown again."""
    kept = keys_file()
    if any(key.name == name for key in kept.read()):
        raise ConfigError(f"there is a key {name!r} already: `k2 keys revoke {name}` first, or take another name")
    made = kept.make(name, current().clock)
    if as_json:
        print_json({"name": name, "key": made})
    else:
        click.echo(made)


@keys.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One array of {name, created}.")
def list_(as_json: bool) -> None:
    """List the keys by name; what they are is not kept."""
    found = [(key.name, utc(key.created_ms)) for key in keys_file().read()]
    if as_json:
        print_json([{"name": name, "created": created} for name, created in found])
    else:
        print_table(("name", "created"), found)


@keys.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Make the key called NAME invalid, at once."""
    if not keys_file().remove(name):
        raise ConfigError(f"there is no key {name!r}; `k2 keys list` shows them")
    click.echo(f"{name} is revoked")


def keys_file() -> KeysFile:
    """Where the keys are kept."""
    from k2core.api.keys import KeysFile

    return KeysFile(current().config.api.keys_file)


def utc(ms: int) -> str:
    """Unix ms as ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms / 1000))
