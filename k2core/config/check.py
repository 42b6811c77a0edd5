"""`k2 config check`: everything that is wrong with the settings, found without any I/O."""

from __future__ import annotations

from collections.abc import Iterator

from k2core.config.build import normalizer_of
from k2core.config.resolve import Config, Section, find_component
from k2core.config.validate import SectionError
from k2core.discovery.registry import Registry
from k2core.errors import K2Error


def problems(config: Config, registry: Registry) -> list[str]:
    """Every mistake in the components' sections, one line each; empty where all is well."""
    found: list[str] = []
    for section in config.sections:
        try:
            found += _of_section(section, config, registry)
        except SectionError as error:
            found += error.problems
        except K2Error as error:
            found.append(str(error))
    return found


def _of_section(section: Section, config: Config, registry: Registry) -> Iterator[str]:
    entry, settings = config.settings(section, registry)
    if section.kind == "connector":
        facts = entry.component.capabilities
        normalizer_of(config, registry, section, facts)
        for name in getattr(settings, "data_types", None) or ():
            if name not in facts.channels:
                known = ", ".join(facts.channels)
                where = f"{config.layers.origin((*section.path, 'data_types'))}: {'.'.join(section.path)}.data_types"
                yield f"{where}: {section.use} has no {name!r}; it has {known} ({entry.provenance})"
    if section.kind == "sink":
        find_component("query-source", section.use, (*section.path, "use"), config.layers, registry)
