"""`k2 config check`: everything that is wrong with the settings, found without any I/O."""

from __future__ import annotations

from collections.abc import Iterator

from k2core.config.build import Assembly, normalizer_of
from k2core.config.reach import refuse_open
from k2core.config.resolve import Config, Section, find_component
from k2core.config.validate import SectionError
from k2core.discovery.registry import Registry, did_you_mean
from k2core.errors import ConfigError, K2Error


def problems(config: Config, registry: Registry) -> list[str]:
    """Every mistake that shows without I/O, one line each; empty where all is well."""
    found = list(_open_api(config))
    for section in config.sections:
        try:
            found += _of_section(section, config, registry)
        except SectionError as error:
            found += error.problems
        except K2Error as error:
            found.append(str(error))
    if (config.enrichers or config.imports) and not found:
        found += _together(config, registry)
    return found


def _open_api(config: Config) -> Iterator[str]:
    try:
        refuse_open(config.api.host, auth=config.api.auth)
    except ConfigError as error:
        path = next((p for p in (("api", "auth"), ("api", "host")) if p in config.layers.origins), ("api",))
        yield f"{config.layers.where(path)}: {error}"


def _together(config: Config, registry: Registry) -> Iterator[str]:
    """Whether enrichers can live together, and imports fit their data types."""
    try:
        Assembly(config, registry).table_types()
        Assembly(config, registry).importers()
    except K2Error as error:
        yield str(error)


def _of_section(section: Section, config: Config, registry: Registry) -> Iterator[str]:
    entry, settings = config.settings(section, registry)
    if section.kind == "connector":
        facts = entry.component.capabilities
        normalizer_of(config, registry, section, facts)
        for name in getattr(settings, "data_types", None) or ():
            if name not in facts.channels:
                known = ", ".join(facts.channels)
                where = config.layers.where((*section.path, "data_types"))
                hint = did_you_mean(name, facts.channels) or f"; it has {known}"
                yield f"{where}: {section.use} has no {name!r}{hint} ({entry.provenance})"
    if section.kind == "sink":
        find_component("query-source", section.use, (*section.path, "use"), config.layers, registry)
