"""The log that faults are tried on, over real services: the exchange plays and `k2 ingest` captures all the time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from k2core.avro.codec import Codec
from k2core.cli.dlq import letters
from k2core.cli.session import Session
from k2core.interfaces.broker import Broker, LogBlock, Offsets, Partition
from k2core.records.builtin import DEAD_LETTERS, QUOTES, TRADES
from tests.e2e.capture import Capture, wait_until
from tests.e2e.over_kafka import Services

TOPIC = "market.crypto.{}.binance"
DEAD = TOPIC.format("dead_letters")
KINDS = {TOPIC.format(kind.name): kind for kind in (TRADES, QUOTES)}
ENOUGH = 200
"""Records of each topic: some of them are copies."""
LIMIT_S = 90.0
"""A hang, on a machine that is busy with other tests."""


class Row(NamedTuple):
    """A record of the log, or a row of a table, and where in the log it came from."""

    place: Partition
    offset: int
    values: dict[str, Any]


class Sample(NamedTuple):
    """A record as it lies in the log, and where."""

    place: Partition
    value: bytes


class Log:
    """The log as a reader of its own finds it.

    Args:
        world: The installation that captures.
        services: What it stands on.
    """

    def __init__(self, world: Capture, services: Services) -> None:
        self.world, self.services = world, services
        self.ingest = world.start("ingest")
        self.poison: dict[Partition, set[int]] = {}
        self.letters_gone: set[str] = set()
        self._open: Broker = Session(config_option=world.settings).assembly.broker().__enter__()
        self._read: list[Row] = []
        self._next: dict[Partition, int] = {}
        world.exchange.play()
        wait_until("there is something to store", lambda: min(self._held().values()) > ENOUGH, LIMIT_S, self.ingest)

    def close(self) -> None:
        self._open.__exit__(None, None, None)

    def ends(self) -> dict[Partition, int]:
        assert self.ingest.poll() is None, self.world.output("ingest")
        return dict(self._open.ends(list(KINDS)))

    def _held(self) -> dict[str, int]:
        ends = self.ends()
        return {topic: sum(end for (name, _), end in ends.items() if name == topic) for topic in KINDS}

    def poisoned(self, *records: tuple[str, int, bytes | None]) -> None:
        """Records of somebody else's, put into k2's topics (topic, partition, value)."""
        producer = Producer({"bootstrap.servers": self.services.kafka.bootstrap_servers})

        def told(error: Any, message: Any) -> None:
            assert error is None, error
            self.poison.setdefault((message.topic(), message.partition()), set()).add(message.offset())

        for topic, partition, value in records:
            producer.produce(topic, value, partition=partition, on_delivery=told)
        assert producer.flush(LIMIT_S) == 0

    def samples(self, most: int) -> list[Sample]:
        """Some trades as they lie in the log."""
        client = Consumer({"bootstrap.servers": self.services.kafka.bootstrap_servers, "group.id": "none"})
        with contextlib.closing(client):
            client.assign([TopicPartition(t, p, 0) for t, p in self.ends() if t == TOPIC.format("trades")])
            found = client.consume(most, LIMIT_S)
        return [Sample((str(m.topic()), int(m.partition() or 0)), m.value() or b"") for m in found]

    def accepted(self, name: str, ends: Offsets) -> list[dict[str, Any]]:
        """Every distinct good record below some ends, whoever wrote it how often; the first copy counts."""
        self._read_on(ends)
        data_type, found = KINDS[TOPIC.format(name)], dict[Any, dict[str, Any]]()
        for row in self._read:
            if row.place[0] == TOPIC.format(name) and row.offset < ends.get(row.place, 0):
                key = row.values["exchange"], row.values["symbol"], row.values[data_type.id_column]
                found.setdefault(key, row.values)
        return list(found.values())

    def origins(self, ends: Offsets | None = None) -> set[str]:
        """Where the poison lies, below some ends."""
        found = [(place, offset) for place, offsets in self.poison.items() for offset in offsets]
        return {f"{t}/{p}/{n}" for (t, p), n in found if ends is None or n < ends.get((t, p), 0)}

    def dead(self, ends: Offsets) -> set[str]:
        """Origins of the letters of refused records below some ends."""
        origins = {one["origin"] for one in letters(self._open, DEAD_LETTERS) if one["stage"] == "admit"}
        split = [(one, one.rsplit("/", 2)) for one in origins]
        return {one for one, (topic, number, offset) in split if int(offset) < ends.get((topic, int(number)), 0)}

    def _read_on(self, ends: Offsets) -> None:
        consumer = self._open.consumer(list(KINDS))
        consumer.seek({place: self._next.get(place, 0) for place in ends})
        while any(consumer.positions().get(place, 0) < end for place, end in ends.items()):
            for block in consumer.poll(100_000, 5):
                self._read += self._rows(block)
                self._next[block.topic, block.partition] = block.next_offset
        consumer.close()

    def _rows(self, block: LogBlock) -> Iterator[Row]:
        """The good records of a block: all but the poison."""
        place, codec = (block.topic, block.partition), Codec(KINDS[block.topic])
        offsets = range(block.first_offset, block.next_offset)
        if not (bad := self.poison.get(place, set())).intersection(offsets):
            found = codec.decode(block.version, block.sizes, block.data)
            assert not found.bad
            yield from map(Row, [place] * len(block), offsets, found.batch.to_pylist())
            return
        start = 0
        for offset, size in zip(offsets, block.sizes.tolist(), strict=True):
            datum, start = block.data[start : start + size], start + size
            if offset not in bad:
                found = codec.decode(block.version, np.array([size], np.uint32), datum)
                assert not found.bad
                yield Row(place, offset, found.batch.to_pylist()[0])
