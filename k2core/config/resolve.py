"""`Config`: core's settings as models, and one `Section` for every component that the settings name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from k2core.component import Settings
from k2core.config.load import CORE, NAMED, SINGLE, Layers, Path_, load_layers
from k2core.config.settings import (
    ApiSettings,
    IngestSettings,
    MaintenanceSettings,
    MetricsSettings,
    QuerySettings,
    RunSettings,
    WriterSettings,
)
from k2core.config.validate import SectionError, validate
from k2core.degradation.settings import DegradationSettings
from k2core.discovery.registry import Entry, Registry
from k2core.errors import ConfigError, PluginError
from k2core.recording.settings import RecordingSettings

CORE_MODELS: dict[str, type[Settings]] = {
    "ingest": IngestSettings,
    "recording": RecordingSettings,
    "writer": WriterSettings,
    "degradation": DegradationSettings,
    "maintenance": MaintenanceSettings,
    "query": QuerySettings,
    "api": ApiSettings,
    "run": RunSettings,
    "metrics": MetricsSettings,
}
KIND_OF = {
    "connectors": "connector",
    "normalizers": "normalizer",
    "enrichers": "enricher",
    "sinks": "sink",
    "broker": "broker",
    "dedup": "dedup-store",
    "imports": "importer",
}
"""Section → kind of the components it names."""

DEFAULT_SINK = "lake"
_DEFAULT_USE = {("broker",): "embedded", ("dedup",): "memory", ("sinks", DEFAULT_SINK): "iceberg"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One component's section.

    Args:
        path: Where it stands: `("sinks", "lake")`, `("broker",)`.
        instance: Its name: `lake`, `broker`.
        use: The component.
        values: Its own keys, as merged.
        active: False where `active = false` switches an enricher off.
    """

    path: Path_
    instance: str
    use: str
    values: Mapping[str, Any] = field(repr=False)  # may hold secrets
    active: bool = True

    @property
    def kind(self) -> str:
        """Kind of the component."""
        return KIND_OF[self.path[0]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings of a process: core's are read, the components' are read when they are built."""

    layers: Layers
    ingest: IngestSettings
    recording: RecordingSettings
    writer: WriterSettings
    degradation: DegradationSettings
    maintenance: MaintenanceSettings
    query: QuerySettings
    api: ApiSettings
    run: RunSettings
    metrics: MetricsSettings
    connectors: tuple[Section, ...]
    normalizers: tuple[Section, ...]
    enrichers: tuple[Section, ...]
    sinks: tuple[Section, ...]
    imports: tuple[Section, ...]
    broker: Section
    dedup: Section

    @property
    def sections(self) -> tuple[Section, ...]:
        """Every component's section."""
        return (
            *self.connectors, *self.normalizers, *self.enrichers, self.broker, self.dedup, *self.sinks, *self.imports
        )  # fmt: skip

    def settings(self, section: Section, registry: Registry) -> tuple[Entry, Settings]:
        """The component that a section names, and its settings.

        Raises:
            ConfigError: The settings are wrong, or the name is a misspelt one.
            PluginError: The component is missing, broken or clashes.
        """
        entry = find_component(section.kind, section.use, (*section.path, "use"), self.layers, registry)
        model = entry.component.settings
        return entry, validate(model, section.values, section.path, self.layers, entry.provenance)


def find_component(kind: str, name: str, path: Path_, layers: Layers, registry: Registry) -> Entry:
    """The component of a name, or an error that says where the name stands.

    Raises:
        ConfigError: Another component's name is near: it is misspelt.
        PluginError: It is missing, broken or clashes.
    """
    try:
        return registry.find(kind, name)
    except PluginError as error:
        kept = ConfigError if "did you mean" in str(error) else PluginError
        raise kept(f"{layers.where(path)}: {error}{_implied(kind, name, path, layers, registry)}") from error


def _implied(kind: str, name: str, path: Path_, layers: Layers, registry: Registry) -> str:
    """For a name that nobody wrote as `use`: that a section's own name is its component unless it says otherwise."""
    known = list(registry.usable(kind))
    if path[-1] != "use" or path in layers.origins or path[-2] != name or not known:
        return ""
    return f' ([{".".join(path[:-1])}] has no `use`, so its name is its component\'s: add `use = "{known[0]}"`?)'


def load_config(
    option: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[Path_, str] | None = None,
    cwd: Path | None = None,
) -> Config:
    """Find, merge and read the settings; components' sections are kept for when they are built.

    Raises:
        ConfigError: Something of core's is wrong; the message says where and what.
    """
    return resolve(load_layers(option, os.environ if env is None else env, overrides, cwd))


def resolve(layers: Layers) -> Config:
    """Make a `Config` of merged settings.

    Raises:
        ConfigError: See `load_config`.
    """
    problems: list[str] = []
    core: dict[str, Settings] = {}
    for name in CORE:
        try:
            core[name] = validate(CORE_MODELS[name], layers.tree.get(name, {}), (name,), layers)
        except SectionError as error:
            problems += error.problems
    if problems:
        raise SectionError(problems)
    named = {name: _instances(name, layers) for name in NAMED}
    single = {name: _section((name,), name, layers.tree.get(name, {}), layers) for name in SINGLE}
    return Config(layers=layers, **cast("dict[str, Any]", core | named | single))


def _instances(name: str, layers: Layers) -> tuple[Section, ...]:
    tables = layers.tree.get(name, {})
    if name == "sinks" and not tables:
        tables = {DEFAULT_SINK: {}}
    return tuple(_section((name, instance), instance, table, layers) for instance, table in tables.items())


def _section(path: Path_, instance: str, table: Mapping[str, Any], layers: Layers) -> Section:
    use = table.get("use", _DEFAULT_USE.get(path, instance))
    if not isinstance(use, str):
        raise ConfigError(f"{layers.where((*path, 'use'))}: must be a component's name, not {use!r}")
    own = {"use", "active"} if path[0] == "enrichers" else {"use"}
    return Section(
        path=path,
        instance=instance,
        use=str(use),
        values={k: v for k, v in table.items() if k not in own},
        active=_active(path, table, layers) if "active" in own else True,
    )


def _active(path: Path_, table: Mapping[str, Any], layers: Layers) -> bool:
    found = table.get("active", True)
    if isinstance(found, str) and found.lower() in ("true", "false"):  # from the environment
        found = found.lower() == "true"
    if not isinstance(found, bool):
        raise ConfigError(f"{layers.where((*path, 'active'))}: must be true or false, not {found!r}")
    return found
