"""`Assembly`: constructs what the settings name, through the components' factories, with the right `Context`.

Factories do no I/O: constructing is safe anywhere, opening is the caller's. Whatever a factory raises that is not a
`K2Error` is wrapped with the component's name, distribution and version.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, cast

from k2core.clock import Clock, SystemClock
from k2core.component import Context, Settings
from k2core.config.enriching import Enriching, check_enricher, extended
from k2core.config.resolve import Config, Section, find_component
from k2core.config.validate import validate
from k2core.discovery.registry import Entry, Registry
from k2core.errors import ConfigError, K2Error, PluginError
from k2core.interfaces.broker import Broker
from k2core.interfaces.connector import Connector, WebSocketFeed
from k2core.interfaces.dedup import DedupStore
from k2core.interfaces.frames import ConnectorFacts
from k2core.interfaces.importer import Importer
from k2core.interfaces.normalizer import Normalizer
from k2core.interfaces.query import QuerySource
from k2core.interfaces.sink import Sink
from k2core.records.data_type import DataType
from k2core.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """One exchange to capture.

    Args:
        instance: Name of its section.
        source: The feed (core drives it) or full connector.
        normalizer: What reads its frames.
        facts: What the connector declares.
        data_types: Names of the data types it was asked for.
    """

    instance: str
    source: Connector | WebSocketFeed
    normalizer: Normalizer
    facts: ConnectorFacts
    data_types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Assembly:
    """Constructs components of one process."""

    config: Config
    registry: Registry
    clock: Clock = field(default_factory=SystemClock)
    metrics: Metrics = field(default_factory=Metrics)

    def broker(self) -> Broker:
        """The log of `[broker]`."""
        return cast("Broker", self._of_section(self.config.broker))

    def dedup(self, instance: str = "") -> DedupStore:
        """A new store of `[dedup]`; one is needed per data type and sink.

        Args:
            instance: Name of the sink, so that stores that share a server keep tables apart.
        """
        entry, settings = self.config.settings(self.config.dedup, self.registry)
        return cast("DedupStore", construct(entry, settings, self._context(self.config.dedup.kind, instance)))

    def sinks(self) -> dict[str, Sink]:
        """Every sink of `[sinks.NAME]`, by name."""
        return {s.instance: cast("Sink", self._of_section(s)) for s in self.config.sinks}

    def query_source(self) -> QuerySource:
        """The cold reader of the first sink: the query source of its component's name, with its settings."""
        section = self.config.sinks[0]
        _, settings = self.config.settings(section, self.registry)
        entry = find_component("query-source", section.use, (*section.path, "use"), self.config.layers, self.registry)
        return cast("QuerySource", construct(entry, settings, self._context(entry.kind, section.instance)))

    def data_types(self) -> dict[str, DataType]:
        """Every data type that works, by name, as the log knows it."""
        return {name: entry.component for name, entry in self.registry.usable("data-type").items()}

    def table_types(self) -> dict[str, DataType]:
        """Every data type that works, by name, with the columns that the configured enrichers add to its table.

        Raises:
            ConfigError: Two enrichers have a column of one name.
            PluginError: An enricher cannot be made.
        """
        return extended(self.data_types(), self.enriching())

    def enriching(self) -> list[Enriching]:
        """What `[enrichers.NAME]` asks for, in the order of the file.

        Raises:
            K2Error: One cannot be made.
        """
        return [self._enriching(section) for section in self.config.enrichers]

    def importers(self) -> dict[str, Importer]:
        """What `[imports.NAME]` asks for, by name.

        Raises:
            K2Error: One cannot be made.
        """
        return {s.instance: cast("Importer", self._of_section(s)) for s in self.config.imports}

    def _enriching(self, section: Section) -> Enriching:
        entry, settings = self.config.settings(section, self.registry)
        enricher = construct(entry, settings, self._context("enricher", section.instance))
        name = ".".join(section.path)
        one = Enriching(
            section=name, instance=section.instance, provenance=entry.provenance, enricher=enricher,
            active=section.active,
        )  # fmt: skip
        check_enricher(one)
        return one

    def captures(self) -> list[Capture]:
        """What `[connectors.NAME]` asks for.

        Raises:
            ConfigError: None is asked for.
        """
        self.need_connectors()
        return [self._capture(section) for section in self.config.connectors]

    def need_connectors(self) -> None:
        """Make sure that there is something to capture, without constructing it.

        Raises:
            ConfigError: There is not.
        """
        if not self.config.connectors:
            where = self.config.layers.file or "k2.toml (there is none here)"
            raise ConfigError(f'{where}: nothing to capture: add [connectors.binance] with symbols = ["BTCUSDT"]')

    def asked(self) -> list[tuple[ConnectorFacts, tuple[str, ...]]]:
        """Facts and names of data types of each configured connector; constructs nothing."""
        found = []
        for section in self.config.connectors:
            entry, settings = self.config.settings(section, self.registry)
            found.append((entry.component.capabilities, asked_data_types(entry, settings)))
        return found

    def normalizer_for(self, exchange: str) -> tuple[Normalizer, ConnectorFacts]:
        """What reads an exchange's frames, whether it is configured or not, and what its connector declares.

        Raises:
            PluginError: No installed connector is of that exchange.
        """
        usable = self.registry.usable("connector").values()
        of_it = {e.name: e.component.capabilities for e in usable if e.component.capabilities.exchange == exchange}
        for section in self.config.connectors:
            if section.use in of_it:
                return self._normalizer(section, of_it[section.use]), of_it[section.use]
        if not of_it:
            known = ", ".join(sorted({e.component.capabilities.exchange for e in usable})) or "none"
            raise PluginError(f"no installed connector is of exchange {exchange!r}; installed: {known}")
        name, facts = next(iter(of_it.items()))
        section = Section(path=("connectors", name), instance=name, use=name, values={})
        return self._normalizer(section, facts), facts

    def _capture(self, section: Section) -> Capture:
        entry, settings = self.config.settings(section, self.registry)
        facts: ConnectorFacts = entry.component.capabilities
        source = construct(entry, settings, self._context("connector", section.instance))
        return Capture(
            instance=section.instance,
            source=source,
            normalizer=self._normalizer(section, facts),
            facts=facts,
            data_types=asked_data_types(entry, settings),
        )

    def _normalizer(self, connector: Section, facts: ConnectorFacts) -> Normalizer:
        entry, settings = normalizer_of(self.config, self.registry, connector, facts)
        return cast("Normalizer", construct(entry, settings, self._context("normalizer", connector.instance)))

    def _of_section(self, section: Section) -> Any:
        entry, settings = self.config.settings(section, self.registry)
        return construct(entry, settings, self._context(section.kind, section.instance))

    def _context(self, kind: str, instance: str) -> Context:
        logger = logging.getLogger(f"k2.{kind}.{instance}")
        return Context(
            clock=self.clock, logger=logger, metrics=self.metrics, instance=instance, data_types=self.data_types()
        )


def asked_data_types(entry: Entry, settings: Settings) -> tuple[str, ...]:
    """What a connector is to capture: its setting `data_types`, or all that it declares."""
    return tuple(getattr(settings, "data_types", None) or entry.component.capabilities.channels)


def normalizer_of(
    config: Config, registry: Registry, connector: Section, facts: ConnectorFacts
) -> tuple[Entry, Settings]:
    """A connector's normalizer: the section of the connector's or the normalizer's name, else that with no settings."""
    name = facts.normalizer or connector.use
    for section in config.normalizers:
        if section.instance in (connector.instance, name):
            return config.settings(section, registry)
    path = ("normalizers", connector.instance)
    entry = find_component("normalizer", name, connector.path, config.layers, registry)
    return entry, validate(entry.component.settings, {}, path, config.layers, entry.provenance)


def construct(entry: Entry, settings: Settings, context: Context) -> Any:
    """Call a component's factory.

    Raises:
        K2Error: What the factory raised, if it was one.
        PluginError: It raised anything else.
    """
    try:
        context.metrics.declare(entry.component.metrics)
        return entry.component.factory(settings, context)
    except K2Error:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        raise PluginError(f"{entry.kind} {entry.name!r} ({entry.provenance}) cannot be made: {text}") from error
