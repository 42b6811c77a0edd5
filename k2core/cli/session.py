"""`Session`: what every command shares: `--config`, `--plugin`, and what follows from them, made when first asked for."""

from __future__ import annotations

import functools
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from k2core.clock import Clock, SystemClock
from k2core.errors import ConfigError, PluginError

if TYPE_CHECKING:
    from k2core.config import Config
    from k2core.config.build import Assembly
    from k2core.discovery import Registry


@dataclass
class Session:
    """One call of `k2`.

    Args:
        config_option: `--config`, where given.
        plugin_files: Every `--plugin`.
        overrides: Settings given as options of the command, by path.
        clock: The time.
    """

    config_option: Path | None = None
    plugin_files: list[Path] = field(default_factory=list)
    overrides: dict[tuple[str, ...], str] = field(default_factory=dict)

    clock: Clock = field(default_factory=SystemClock)

    @functools.cached_property
    def registry(self) -> Registry:
        """Everything installed, and the one-file plugins.

        Raises:
            ConfigError: There is no such file.
        """
        from k2core.discovery import discover

        if missing := [file for file in self.plugin_files if not file.is_file()]:
            raise ConfigError(f"--plugin {missing[0]}: there is no such file")

        return discover(files=self.plugin_files, limit_s=self._plugin_timeout_s())

    def _plugin_timeout_s(self) -> float:
        """The setting, or its default where the settings are wrong: plugins are listed all the same."""
        from k2core.config import load_config
        from k2core.discovery.loading import LIMIT_S

        try:
            return load_config(self.config_option).run.plugin_timeout_s
        except ConfigError:
            return LIMIT_S

    def file_problems(self) -> list[str]:
        """What is wrong with files given with `--plugin`, a line each."""
        named = {path.name for path in self.plugin_files}
        broken = (e for e in self.registry.broken if e.kind == "plugin" and e.distribution in named)
        return [f"--plugin {entry.distribution}: {entry.error}" for entry in broken]

    @functools.cached_property
    def config(self) -> Config:
        """The settings.

        Raises:
            ConfigError: They are wrong.
        """
        from k2core.config import load_config

        return load_config(self.config_option, overrides=self.overrides)

    @functools.cached_property
    def assembly(self) -> Assembly:
        """Constructs components.

        Raises:
            ConfigError: The settings are wrong.
            PluginError: A file given with `--plugin` is broken.
        """
        from k2core.config.build import Assembly

        for problem in self.file_problems():
            raise PluginError(problem)
        return Assembly(self.config, self.registry, self.clock)

    def arguments(self) -> list[str]:
        """Options that give another process the same session."""
        file = self.config.layers.file
        found = ["--config", str(file.absolute())] if file else []
        for path in self.plugin_files:
            found += ["--plugin", str(path.absolute())]
        return found

    def spelled(self, command: str) -> str:
        """Another command of `k2` for the same settings, as somebody would type it here."""
        words = ["k2", *(("--config", str(self.config_option)) if self.config_option else ())]
        words += [word for path in self.plugin_files for word in ("--plugin", str(path))]
        return f"{shlex.join(words)} {command}"


def current() -> Session:
    """The session of the command that runs."""
    session = click.get_current_context().find_root().obj
    if not isinstance(session, Session):
        raise RuntimeError("a command of k2 was called outside of `k2`")
    return session


def advised(command: str) -> str:
    """What to type next: `k2 COMMAND`, with the `--config` and `--plugin` of the command that runs, if one does."""
    context = click.get_current_context(silent=True)
    session = context.find_root().obj if context else None
    return (session if isinstance(session, Session) else Session()).spelled(command)
