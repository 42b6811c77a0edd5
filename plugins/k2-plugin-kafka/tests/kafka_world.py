"""What the tests of this plugin share: a broker component on real services, topics of its own, records with numbers."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from k2_plugin_kafka.broker import KafkaBroker
from k2_plugin_kafka.settings import KafkaSettings

from k2core.plugin import Clock, Consumer, Context, DataType, Metrics, SystemClock
from k2core.testing.conformance.broker_world import numbers_of

SESSION_S = 4
FAST: dict[str, Any] = {
    "replication_factor": 1, "answer_timeout_s": 60, "schema_registry_timeout_s": 60, "ready_timeout_s": 120,
    "session_timeout_s": SESSION_S, "heartbeat_s": 0.3, "delivery_timeout_s": 120,
}  # fmt: skip
"""Patient: a busy machine is no fault. Tests of what is away set less."""
LIMIT_S = 120.0
"""Ends what hangs."""


def context(clock: Clock | None = None, data_types: dict[str, DataType] | None = None) -> Context:
    return Context(
        clock=clock or SystemClock(), logger=logging.getLogger("k2.broker.test"), metrics=Metrics(), instance="broker",
        data_types=data_types or {},
    )  # fmt: skip


def broker(kafka: str, registry: str, folder: Path, clock: Clock | None = None, *,
           data_types: dict[str, DataType] | None = None, **more: Any) -> KafkaBroker:  # fmt: skip
    given: dict[str, Any] = {
        "bootstrap_servers": kafka,
        "schema_registry_url": registry,
        "schema_cache": folder / "schemas",
    }
    return KafkaBroker(KafkaSettings(**(FAST | given | more)), context(clock, data_types))


def hear(consumer: Consumer, count: int) -> list[int]:
    """Read on until so many numbers were read: a reader that was at the end may say once more that it is."""
    found: list[int] = []
    deadline = time.monotonic() + LIMIT_S
    while len(found) < count:
        found += numbers_of(consumer.poll(1000, 1))
        assert time.monotonic() < deadline, f"{len(found)} of {count} within {LIMIT_S:g} s"
    return found


def until(what: str, holds: Callable[[], object], limit_s: float = LIMIT_S) -> float:
    """Wait until something holds; the seconds it took."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < limit_s, f"not within {limit_s:g} s: {what}"
        time.sleep(0.01)
    return time.monotonic() - started


def wait_for(holds: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    """Until something holds that its line says well enough."""
    until("it holds", holds, limit_s)


def new_topic(data_type: str = "trades") -> str:
    return f"market.crypto.{data_type}.x{uuid.uuid4().hex[:10]}"
