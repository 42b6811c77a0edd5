"""What the tests of this plugin share: a broker component on real services, topics of its own, records with numbers."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import Any

from k2_plugin_kafka.broker import KafkaBroker
from k2_plugin_kafka.settings import KafkaSettings

from k2core.plugin import Clock, Context, DataType, Metrics, SystemClock

FAST: dict[str, Any] = {
    "replication_factor": 1, "answer_timeout_s": 10, "session_timeout_s": 1.5, "heartbeat_s": 0.3, "delivery_timeout_s": 30,
}  # fmt: skip


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


def new_topic(data_type: str = "trades") -> str:
    return f"market.crypto.{data_type}.x{uuid.uuid4().hex[:10]}"
