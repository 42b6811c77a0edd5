"""`KafkaProducer`: appends batches; returns when every record has a report with its offset.

Idempotent: what the client itself sends again, within `delivery_timeout_s`, is stored once and in order. A report without
an offset is no report (records that had one were not in the log, measured). After a call that failed nobody knows what
was appended: the client is thrown away, with what it still held, and the next call has a new one; whoever calls sends the
same again, and the table leaves out the doubles.

Faults survived: brokers killed, frozen, restarted, a leader moved, a full buffer (it pushes back: the call blocks).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from confluent_kafka import KafkaError
from confluent_kafka import Message as Report
from confluent_kafka import Producer as Client

from k2_plugin_kafka.client import CLOSING_S, MISSING, SLICE_S, Told, away, common, error_of, logger_of, translated
from k2_plugin_kafka.framing import FRAME, Message, has_symbol, head_of, messages_of
from k2_plugin_kafka.lineage import Lineages
from k2_plugin_kafka.settings import KafkaSettings
from k2core.plugin import (
    BrokerAwayError,
    BrokerError,
    EncodedBatch,
    Metrics,
    Offsets,
    Partition,
    Producer,
    SchemaError,
    TopicInfo,
    TopicMissingError,
)

OVERHEAD = 1024
"""Bytes that a record may have around its value: key and header of its batch."""
LATE_S = 5.0
"""Reports come within the delivery timeout; who waits so much longer has a client that lost them."""
CHUNK = 2000
"""Records handed over at once: by then the first of them are on their way."""


class Flight:
    """The reports of one call: of every record its offset, or what there was instead."""

    def __init__(self) -> None:
        self.sent = self.bytes = 0
        self._reports: dict[Partition, list[Any]] = {}

    @property
    def pending(self) -> int:
        """Records without a report."""
        return self.sent - sum(map(len, list(self._reports.values())))

    def of(self, topic: str, partition: int) -> Callable[[KafkaError | None, Report], None]:
        """What the client calls for every record of a partition: the hot line of this plugin."""
        append = self._reports.setdefault((topic, partition), []).append

        def report(error: KafkaError | None, message: Report) -> None:
            append(message.offset() if error is None else error)  # None where the client has none: never below 0

        return report

    def refused(self) -> list[Any]:
        """Reports without an offset: errors, or None."""
        strange = [reports for reports in self._reports.values() if set(map(type, reports)) != {int}]
        return [one for reports in strange for one in reports if not isinstance(one, int)]

    def ends(self) -> dict[Partition, int]:
        """Next offset of every partition that was written to, where nothing was refused."""
        return {place: max(reports) + 1 for place, reports in self._reports.items()}


class KafkaProducer(Producer):
    """Appends through a client of its own.

    Args:
        settings: Of `[broker]`.
        logger: Says what was thrown away.
        find: The topic of a name, asked anew where told so.
        lineages: Ids of versions.
        metrics: Counts what becomes of appends.
        flights: What is under way, by producer, for who measures.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        logger: logging.Logger,
        find: Callable[[str], TopicInfo],
        lineages: Lineages,
        metrics: Metrics,
        flights: dict[int, Flight],
    ) -> None:
        self._settings, self._logger, self._find, self._lineages = settings, logger, find, lineages
        self._told, self._metrics, self._flights = Told(settings), metrics, flights
        self._client: Client | None = None
        self._topics: dict[str, TopicInfo] = {}
        self._heads: dict[tuple[str, int], tuple[bytes, bool]] = {}
        self._appending, self._closed = threading.Lock(), False

    def produce(self, batches: Sequence[EncodedBatch]) -> Offsets:
        """Append batches. See `Producer.produce`."""
        with self._appending:
            return self._produced(batches)

    def _produced(self, batches: Sequence[EncodedBatch]) -> Offsets:
        if self._closed:
            raise BrokerError("append: the log was closed")
        if not (batches := [batch for batch in batches if len(batch.sizes)]):
            return {}
        self._flights[id(self)] = flight = Flight()
        try:
            for batch in batches:
                self._check(batch)
            return self._confirmed(batches, flight)
        except BaseException as error:
            self._metrics.add("k2_kafka_append_failures_total", reason=_reason(error, flight))
            if not isinstance(error, SchemaError):  # then nothing was handed over
                self._discard()
            raise
        finally:
            del self._flights[id(self)]

    def _confirmed(self, batches: Sequence[EncodedBatch], flight: Flight) -> Offsets:
        started = time.monotonic()
        self._send(batches, flight)
        self._await(flight)
        if refused := flight.refused():
            raise self._failure(flight, refused)
        self._told.heard()
        self._metrics.observe("k2_kafka_delivery_seconds", time.monotonic() - started)
        return flight.ends()

    def close(self) -> None:
        """Stop, and let the client go; a call that another thread is in ends within a second."""
        self._closed = True
        if self._appending.acquire(timeout=CLOSING_S):
            self._throw_away()
            self._appending.release()

    def _check(self, batch: EncodedBatch) -> None:
        """Refuse what can never be appended, before anything is."""
        name = batch.topic
        if name not in self._topics:
            self._topics[name] = self._find(name)
        if (name, batch.version) not in self._heads:
            self._heads[name, batch.version] = self._head(name, batch.version)
        if len(batch.partitions) != len(batch.sizes) or int(batch.sizes.sum(dtype=np.int64)) != len(batch.data):
            raise SchemaError(f"batch for {name}: partitions, sizes and data do not describe the same records")
        count = self._topics[name].partitions
        if not 0 <= int(batch.partitions.min()) <= int(batch.partitions.max()) < count:
            raise SchemaError(f"batch for {name} names a partition outside 0 to {count - 1}")
        if (largest := int(batch.sizes.max()) + FRAME + OVERHEAD) > self._settings.message_bytes:
            raise SchemaError(
                f"batch for {name}: a record of {largest - OVERHEAD} bytes is more than broker.message_bytes allows "
                f"({self._settings.message_bytes}, {OVERHEAD} of them for its batch): raise it, run k2 topics apply"
            )

    def _head(self, topic: str, version: int) -> tuple[bytes, bool]:
        """What stands before each datum, and whether it begins with its symbol."""
        subject = f"{topic}-value"
        held = self._lineages.get(subject)
        if held.id_of(version) is None:
            held = self._lineages.refresh(subject)
            self._lineages.require(held)
        found = held.id_of(version)
        if found is None:
            raise SchemaError(
                f"subject {subject} has schemas 1 to {len(held.schemas)} in the registry, not {version}: run k2 topics apply"
            )
        return head_of(found), has_symbol(held.order[version - 1])

    def _send(self, batches: Sequence[EncodedBatch], flight: Flight) -> None:
        client = self._opened()
        for batch in batches:
            head, keyed = self._heads[batch.topic, batch.version]
            largest = int(batch.sizes.max()) + FRAME
            with translated(self._settings, f"append to {batch.topic}", self._told):
                for partition, messages in messages_of(batch, head, keyed=keyed):
                    report = flight.of(batch.topic, partition)
                    for chunk in self._chunks(messages, largest):
                        self._make_room(flight, len(chunk), len(chunk) * largest)
                        sent = client.produce_batch(batch.topic, chunk, partition=partition, on_delivery=report)
                        flight.sent += sent
                        if sent < len(chunk):
                            raise self._of(
                                f"append to {batch.topic}", next(m["_error"] for m in chunk if "_error" in m)
                            )
            client.poll(0)

    def _chunks(self, messages: list[Message], largest: int) -> Iterator[list[Message]]:
        """Pieces that the buffer takes."""
        settings = self._settings
        count = max(1, min(CHUNK, settings.buffer_records // 2, settings.buffer_bytes // 2 // largest))
        if len(messages) <= count:
            yield messages
            return
        for start in range(0, len(messages), count):
            yield messages[start : start + count]

    def _make_room(self, flight: Flight, records: int, size: int) -> None:
        """Wait until the buffer takes so much more: what it cannot take, the client would leave out."""
        settings = self._settings
        if flight.sent + records <= settings.buffer_records and flight.bytes + size <= settings.buffer_bytes:
            flight.bytes += size
            return
        before = time.monotonic()
        while flight.pending + records > settings.buffer_records:
            self._serve(flight, before)
        if flight.bytes + size > settings.buffer_bytes:
            self._await(flight)
            flight.bytes = 0
        flight.bytes += size

    def _await(self, flight: Flight) -> None:
        """Wait for every report. While it flushes, the client does not linger."""
        before = time.monotonic()
        while flight.pending:
            self._serve(flight, before)

    def _serve(self, flight: Flight, since: float) -> None:
        self._opened().flush(SLICE_S)
        if self._closed and flight.pending:
            raise away(self._settings, f"{flight.pending} records were under way when the log was closed", self._told)
        if time.monotonic() - since > self._settings.delivery_timeout_s + LATE_S:
            raise away(self._settings, f"no report of {flight.pending} records", self._told)

    def _failure(self, flight: Flight, refused: list[Any]) -> Exception:
        told = f"append: {len(refused)} of {flight.sent} records are not confirmed"
        error = next((one for one in refused if isinstance(one, KafkaError)), None)
        if error is None:
            return BrokerError(f"Kafka at {self._settings.bootstrap_servers}: {told}: reports without an offset")
        return self._of(told, error)

    def _of(self, doing: str, error: KafkaError) -> Exception:
        if error.code() in MISSING:
            self._heads.clear()
            return TopicMissingError(f"{doing}: {error.str()}: run k2 topics apply")
        return error_of(self._settings, doing, error, self._told)

    def _opened(self) -> Client:
        if self._client is None:
            with translated(self._settings, "connect", self._told):
                self._client = Client(self._properties(), logger=logger_of(self._logger))
        return self._client

    def _properties(self) -> dict[str, Any]:
        settings = self._settings
        return {
            **common(settings, "producer", self._told),
            "acks": settings.acks,
            "enable.idempotence": settings.acks == "all",
            "linger.ms": settings.linger_ms,
            "batch.size": settings.batch_bytes,
            "compression.type": settings.compression,
            "message.max.bytes": settings.topic_bytes,
            "queue.buffering.max.messages": settings.buffer_records,
            "queue.buffering.max.kbytes": 2 * settings.buffer_bytes // 1024,
            "delivery.timeout.ms": int(settings.delivery_timeout_s * 1000),
        }

    def _discard(self) -> None:
        """Throw the client away after a failure, and look for topics anew: one that is gone times out like any other."""
        self._topics.clear()
        if self._client is not None:
            self._metrics.add("k2_kafka_clients_discarded_total", role="producer")
            self._throw_away()

    def _throw_away(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.purge()
            client.flush(0)


def _reason(error: BaseException, flight: Flight) -> str:
    """Why an append failed, as it is counted."""
    if isinstance(error, TopicMissingError):
        return "missing"
    if isinstance(error, BrokerAwayError):
        return "away"
    return "unconfirmed" if any(one is None for one in flight.refused()) else "refused"
