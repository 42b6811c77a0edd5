"""Levels as records of a small control topic, `market.control.levels.k2`: what other processes read a writer's level from.

It is a topic of the data type `levels`, which has no table. A level is told when it is entered, and again now and then
while it lasts: who starts later learns it soon, and a writer that died at a high level is forgotten after a while.
Survives a log that is full or away, or that has no such topic: the writer goes on, and says so once.
"""

from __future__ import annotations

import logging

import numpy as np
import pyarrow as pa

from k2core.avro.codec import Codec
from k2core.clock import Clock
from k2core.degradation.controller import Controller
from k2core.degradation.levels import Change
from k2core.errors import BrokerError, SchemaError
from k2core.interfaces.broker import EncodedBatch, Producer
from k2core.records.builtin import LEVELS
from k2core.records.topics import PARTITIONS, Topic, partition_of

LEVELS_TOPIC = Topic("control", LEVELS.name, "k2")


class Announcer:
    """Tells levels of one writer's tables.

    Args:
        producer: Appends to the log; the announcer's own.
        clock: The time.
        writer: Who tells, as `host:pid`.
        logger: For a log that does not take it.
    """

    def __init__(self, producer: Producer, clock: Clock, writer: str, logger: logging.Logger) -> None:
        self._producer, self._clock, self._writer, self._logger = producer, clock, writer, logger
        self._failing = False

    def tell(self, table: str, controller: Controller, change: Change | None) -> None:
        """A level was entered, or lasts (no change)."""
        previous = controller.level if change is None else change.previous
        row = {
            "symbol": table, "exchange": LEVELS_TOPIC.exchange, "exchange_timestamp_ms": self._clock.now_ms(),
            "writer": self._writer, "level": controller.level.name, "previous": previous.name,
            "cause": controller.cause if change is None else change.cause,
            "lag_records": controller.lag, "memory_ratio": controller.memory,
        }  # fmt: skip
        try:
            self._producer.produce([encoded(row)])
            self._failing = False
        except (BrokerError, SchemaError) as error:
            if not self._failing:
                self._logger.warning("level not told on %s table=%s error=%s", LEVELS_TOPIC.name, table, error)
            self._failing = True

    def close(self) -> None:
        """Release the producer."""
        self._producer.close()


def encoded(row: dict[str, object]) -> EncodedBatch:
    """One event as the log takes it."""
    batch = pa.RecordBatch.from_pylist([row], schema=LEVELS.arrow_schema)
    sizes, data = Codec(LEVELS).encode(batch)
    place = np.array([partition_of(str(row["symbol"]), PARTITIONS)], np.int32)
    return EncodedBatch(LEVELS_TOPIC.name, LEVELS.versions, place, sizes, data)
