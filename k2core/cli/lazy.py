"""`LazyGroup`: a group whose commands are imported when they are called, and that takes plugins' commands in.

`--config` and `--plugin` are added to every command, so that they may stand before or after its name.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from k2core.cli.session import Session


def _keep_config(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        _session(context).config_option = value


def _keep_plugins(context: click.Context, _: object, value: tuple[Path, ...]) -> None:
    known = _session(context).plugin_files
    known.extend(path for path in value if path not in known)


def _session(context: click.Context) -> Session:
    root = context.find_root()
    if not isinstance(root.obj, Session):
        root.obj = Session()
    return root.obj


def _plugins_among(arguments: Sequence[str]) -> Iterator[Path]:
    for at, argument in enumerate(arguments):
        if argument == "--":
            return
        if argument == "--plugin" and at + 1 < len(arguments):
            yield Path(arguments[at + 1])
        elif argument.startswith("--plugin="):
            yield Path(argument.removeprefix("--plugin="))


def common_options() -> list[click.Option]:
    """`--config PATH` and `--plugin FILE`."""
    path = click.Path(path_type=Path)
    return [
        click.Option(
            ["--config"], type=path, callback=_keep_config, expose_value=False, is_eager=True, metavar="PATH",
            help="Settings file; else K2_CONFIG, else ./k2.toml.",
        ),
        click.Option(
            ["--plugin"], type=path, callback=_keep_plugins, expose_value=False, is_eager=True, multiple=True,
            metavar="FILE", help="Load a one-file plugin; may be repeated.",
        ),
    ]  # fmt: skip


def with_common_options(command: click.Command) -> click.Command:
    """Add the common options to a command, and to all of a group's, once."""
    taken = {option for p in command.params for option in p.opts}
    command.params += [o for o in common_options() if not taken & set(o.opts)]
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            with_common_options(inner)
    return command


class LazyGroup(click.Group):
    """Commands by name: those of core as `module:attribute` with a line of help, those of plugins by discovery."""

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Core's names and the plugins'."""
        return sorted({*self._lazy, *self._of_plugins(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; core's names are core's."""
        if cmd_name in self._lazy:
            module, _, attribute = self._lazy[cmd_name][0].partition(":")
            return with_common_options(getattr(importlib.import_module(module), attribute))
        found = self._of_plugins(ctx).get(cmd_name)
        return with_common_options(found) if found else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; `k2 mine --plugin mine.py` names the plugin behind the command that it offers."""
        if args[0] not in self._lazy:
            _keep_plugins(ctx, self, tuple(_plugins_among(args[1:])))
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            from k2core.discovery.registry import did_you_mean

            hint = did_you_mean(args[0], self.list_commands(ctx))
            raise click.UsageError(f"no such command {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing core's."""
        lines = {name: text for name, (_, text) in self._lazy.items()}
        lines |= {name: command.get_short_help_str(80) for name, command in self._of_plugins(ctx).items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted(lines.items()))

    def reserved(self) -> frozenset[str]:
        """Names that no plugin can take."""
        return frozenset(self._lazy)

    def _of_plugins(self, ctx: click.Context) -> dict[str, click.Command]:
        usable = _session(ctx).registry.usable("command")
        return {name: entry.component for name, entry in usable.items() if name not in self._lazy}
