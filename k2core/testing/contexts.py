"""`context`: what a factory is given, for tests that make a component by hand."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from k2core.clock import Clock, SystemClock
from k2core.component import Context
from k2core.records.data_type import DataType
from k2core.telemetry.metrics import Metrics


def context(
    clock: Clock | None = None,
    *,
    name: str = "test",
    instance: str = "",
    data_types: Mapping[str, DataType] | None = None,
) -> Context:
    """A `Context` of its own.

    Args:
        clock: The time; the system's if it is left out.
        name: Of its logger, behind `k2.`.
        instance: Name of the settings table.
        data_types: Every data type that there is, by name.
    """
    return Context(
        clock=clock or SystemClock(),
        logger=logging.getLogger(f"k2.{name}"),
        metrics=Metrics(),
        instance=instance,
        data_types=data_types or {},
    )
