"""`Component`, the descriptor that hooks return, and `Context`, all that a factory is given."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from k2core.clock import Clock
from k2core.records.data_type import DataType
from k2core.telemetry.metric import Metric
from k2core.telemetry.metrics import Metrics

T = TypeVar("T")


class Settings(BaseModel):
    """Base of every component's settings: frozen, unknown keys are errors. `{"path": true}` in a field's
    `json_schema_extra` marks a path that is relative to the settings file's folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a factory may use; nothing else of k2 is in reach.

    Args:
        clock: The time.
        logger: Named for the component.
        metrics: Counters and gauges.
        instance: Name of the settings table, as `lake` in `[sinks.lake]`.
        data_types: Every data type that there is, by name.
    """

    clock: Clock
    logger: logging.Logger
    metrics: Metrics
    instance: str = ""
    data_types: Mapping[str, DataType] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Component(Generic[T]):
    """Describes one thing that a plugin offers.

    Args:
        name: Lower case, unique within its kind: what `use = "…"` names.
        summary: One line for `k2 plugins`.
        settings: Its settings model, a `Settings`.
        factory: Makes it from settings and context. Heavy imports belong in here. Does no I/O.
        capabilities: Declared facts: `ConnectorFacts` for connectors; None where a kind has none.
        metrics: What it counts besides core's own: `Context.metrics` knows them when the factory is called.
    """

    name: str
    summary: str
    settings: type[Settings]
    factory: Callable[[Any, Context], T]
    capabilities: Any = None
    metrics: Sequence[Metric] = ()
