"""Finds `k2.toml`, reads it, and lays the environment and the command line over it, keeping every value's origin."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from k2core.config.lines import lines_of
from k2core.discovery.registry import did_you_mean
from k2core.errors import ConfigError

NAMED = ("connectors", "normalizers", "enrichers", "sinks", "imports")
"""Sections that hold one table per instance."""

SINGLE = ("broker", "dedup")
"""Sections that are one component each."""

CORE = ("ingest", "recording", "writer", "degradation", "maintenance", "query", "api", "run", "metrics")
"""Sections of core itself."""

SECTIONS = (*NAMED, *SINGLE, *CORE)
FILE_NAME = "k2.toml"
ENV_PREFIX = "K2_"
_INSTANCE = re.compile(r"[a-z][a-z0-9_-]*")

Path_ = tuple[str, ...]
"""Where a value stands, as `("sinks", "lake", "warehouse")`."""


class EnvText(str):
    """A value from the environment or the command line: text that is still to be read as what its setting is."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Merged settings before any model has seen them.

    Args:
        file: The settings file, or None where there is none.
        folder: What relative paths are relative to: the file's folder, else the working directory.
        tree: Section → keys, merged.
        origins: Path → where its value comes from: the file's name, a variable, `command line`.
        lines: Path → its line in the file.
    """

    file: Path | None
    folder: Path
    tree: dict[str, Any] = field(repr=False)  # may hold secrets
    origins: dict[Path_, str] = field(default_factory=dict)
    lines: Mapping[Path_, int] = field(default_factory=dict)

    def origin(self, path: Path_) -> str:
        """Where the value at a path, or the nearest table above it, comes from."""
        while path and path not in self.origins:
            path = path[:-1]
        return self.origins.get(path, self.file.name if self.file else "settings")

    def where(self, path: Path_) -> str:
        """The origin of a path for a message, with the line if it is the file's: `k2.toml:3: sinks.lake.use`."""
        origin, named = self.origin(path), ".".join(path)
        if self.file is None or origin != self.file.name:
            return f"{origin}: {named}"
        line = self._line(path)
        return f"{origin}:{line}: {named}" if line else f"{origin}: {named}"

    def _line(self, path: Path_) -> int:
        """The line of a path, of the nearest table above it, or of what stands in a table without one; 0 where none is."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return min((line for known, line in self.lines.items() if known[: len(path)] == path), default=0)


def load_layers(
    option: Path | None, env: Mapping[str, str], overrides: Mapping[Path_, str] | None = None, cwd: Path | None = None
) -> Layers:
    """Read and merge: file < environment < command line.

    Args:
        option: `--config`, where given.
        env: The environment.
        overrides: Settings given on the command line, by path.
        cwd: Where `k2.toml` is looked for; the working directory by default.

    Raises:
        ConfigError: A named file is missing or is not TOML, a section is unknown or not a table.
    """
    file = find_file(option, env, cwd or Path.cwd())
    tree, lines = read_file(file) if file else ({}, {})
    layers = Layers(file=file, folder=(file.parent if file else cwd or Path.cwd()).absolute(), tree=tree, lines=lines)
    _note_origins(tree, (), file.name if file else "", layers.origins)
    _check_shape(layers)
    for name, text in sorted(env.items()):
        if (path := env_path(name, tree)) is not None:
            _put(layers, path, text, name)
    if env.get("K2_API_KEY"):
        _put(layers, ("api", "key"), env["K2_API_KEY"], "K2_API_KEY")
    for path, text in (overrides or {}).items():
        _put(layers, path, text, "command line")
    return layers


def find_file(option: Path | None, env: Mapping[str, str], cwd: Path) -> Path | None:
    """`--config`, else `K2_CONFIG`, else `./k2.toml` if it is there."""
    named = [(option, "--config")] if option else []
    if env.get("K2_CONFIG"):
        named.append((Path(env["K2_CONFIG"]), "K2_CONFIG"))
    for path, by in named:
        full = cwd / path
        if not full.is_file():
            raise ConfigError(f"{by} names {path}, which is not a file")
        return full
    here = cwd / FILE_NAME
    return here if here.is_file() else None


def read_file(file: Path) -> tuple[dict[str, Any], dict[Path_, int]]:
    """Parse a settings file, and find its keys' lines.

    Raises:
        ConfigError: It cannot be read or is not TOML; the message names file and line.
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    try:
        return tomllib.loads(text), lines_of(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        line = found.group(1) if found else len(text.splitlines())
        raise ConfigError(f"{file}:{line}: not valid TOML: {error}") from error


def env_path(name: str, tree: Mapping[str, Any]) -> Path_ | None:
    """Path that a variable sets, as `K2_SINKS__LAKE__WAREHOUSE`; None for names that are no settings.

    Raises:
        ConfigError: It has the form of a setting, but no section has that name.
    """
    if not name.startswith(ENV_PREFIX) or "__" not in name:
        return None
    section, *rest = (part.lower() for part in name[len(ENV_PREFIX) :].split("__"))
    if section not in SECTIONS:
        raise ConfigError(f"{name}: there is no section [{section}]{did_you_mean(section, SECTIONS)}")
    if not all(rest) or (section in NAMED and len(rest) < 2):
        raise ConfigError(f"{name}: name a setting, as K2_API__PORT or K2_CONNECTORS__BINANCE__SYMBOLS")
    if section in NAMED:
        known = {instance.replace("-", "_"): instance for instance in tree.get(section, {})}
        rest[0] = known.get(rest[0], rest[0].replace("_", "-"))
    return (section, *rest)


def _note_origins(tree: Any, path: Path_, origin: str, origins: dict[Path_, str]) -> None:
    if path:
        origins[path] = origin
    if isinstance(tree, dict):
        for key, value in tree.items():
            _note_origins(value, (*path, key), origin, origins)


def _check_shape(layers: Layers) -> None:
    for section, keys in layers.tree.items():
        where = layers.where((section,))
        if section not in SECTIONS:
            raise ConfigError(f"{where}: unknown section{did_you_mean(section, SECTIONS)}")
        if not isinstance(keys, dict):
            raise ConfigError(f"{where}: must be a table, as [{section}]")
        for instance, table in keys.items() if section in NAMED else ():
            where = layers.where((section, instance))
            if not isinstance(table, dict):
                raise ConfigError(f"{where}: must be a table, as [{section}.NAME]")
            if not _INSTANCE.fullmatch(instance):
                raise ConfigError(f"{where}: names are lower case, as [{section}.binance]")


def _put(layers: Layers, path: Path_, text: str, origin: str) -> None:
    table = layers.tree
    for length, key in enumerate(path[:-1], 1):
        if key not in table:  # a table that stands nowhere else is its own, too: what it lacks is not the file's fault
            layers.origins[path[:length]] = origin
        if not isinstance(inner := table.setdefault(key, {}), dict):
            raise ConfigError(f"{origin}: {'.'.join(path)}: {key} is not a table")
        table = inner
    table[path[-1]] = EnvText(text)
    layers.origins[path] = origin
