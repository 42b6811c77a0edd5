"""What core itself offers, through the same hooks as anyone's plugin: the embedded log and the data types."""

from __future__ import annotations

from collections.abc import Iterable

from k2core.broker.settings import EmbeddedSettings
from k2core.component import Component, Context
from k2core.hookspecs import hookimpl
from k2core.interfaces.broker import Broker
from k2core.records.builtin import BUILTIN_DATA_TYPES
from k2core.records.data_type import DataType


@hookimpl
def k2_data_types() -> Iterable[DataType]:
    """Trades, quotes, dead letters."""
    return BUILTIN_DATA_TYPES


def _embedded(settings: EmbeddedSettings, context: Context) -> Broker:
    from k2core.broker.embedded import EmbeddedBroker

    return EmbeddedBroker(settings, context.clock, context.logger, context.metrics)


@hookimpl
def k2_brokers() -> Iterable[Component[Broker]]:
    """The log as one file."""
    summary = "the log as one SQLite file, for all processes of one machine"
    return [Component(name="embedded", summary=summary, settings=EmbeddedSettings, factory=_embedded)]
