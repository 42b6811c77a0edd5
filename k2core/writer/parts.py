"""`Parts`: what one writer pipeline is put together from."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from k2core.admission.admit import Admission
from k2core.clock import Clock
from k2core.config.settings import WriterSettings
from k2core.interfaces.broker import Broker, Consumer, Producer
from k2core.interfaces.dedup import DedupStore
from k2core.interfaces.sink import SinkTable
from k2core.records.data_type import DataType
from k2core.telemetry.metrics import Metrics
from k2core.writer.shedding import Degradation


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All of it is the pipeline's own, but for broker, clock, metrics and logger.

    Args:
        data_type: What is stored.
        topics: Every topic that feeds the table.
        consumer: Reads those topics.
        producer: Appends dead letters; their topics exist.
        broker: The log.
        table: Where rows go.
        dedup: What is stored already.
        admission: Log blocks to rows.
        settings: When to commit, how much to read.
        clock: The time.
        metrics: `k2_writer_…`.
        logger: For lines about this pipeline.
        owner: Who takes partitions over, as `host:pid`.
        name: The consumer's name in the log, one per table.
        degradation: What it gives up under load, and when; None: nothing.
        skip_gone: Whether the start may pass records that are gone from the log although the table wants them next.
    """

    data_type: DataType
    topics: tuple[str, ...]
    consumer: Consumer
    producer: Producer
    broker: Broker
    table: SinkTable
    dedup: DedupStore
    admission: Admission
    settings: WriterSettings
    clock: Clock
    metrics: Metrics
    logger: logging.Logger
    owner: str
    name: str
    skip_gone: bool = False
    degradation: Degradation | None = None
