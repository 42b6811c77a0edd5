"""Bytes that rot on a broker's disk are told wherever a reader stands, and take no neighbour along."""

from __future__ import annotations

import pathlib
import struct
import time
from collections.abc import Iterator
from typing import Any

import kafka_world as world
import pytest

from k2core.plugin import LogCorruptError
from k2core.testing.conformance.broker_world import drain, numbered, numbers_of, topic_spec
from tests.services.fixtures import Address
from tests.services.kafka import Kafka
from tests.services.running import running

pytestmark = pytest.mark.xdist_group("kafka-damage")
BATCH = 20
"""Records of one batch on a partition."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    made = Kafka(tmp_path_factory.mktemp("kafka-damage"))
    with running(made):
        yield made


@pytest.fixture
def log(own: Kafka, schema_registry: Address, tmp_path: pathlib.Path) -> Iterator[Any]:
    with world.broker(own.bootstrap_servers, schema_registry.url, tmp_path) as made:
        yield made


def rot(own: Kafka, topic: str, partition: int, number: int) -> None:
    """Turn a bit in the last record of a partition's batch."""
    (file,) = (own.folder / "data" / f"{topic}-{partition}").glob("*.log")
    held, at = bytearray(file.read_bytes()), 0
    for _ in range(number):
        at += 12 + struct.unpack(">qi", held[at : at + 12])[1]
    end = at + 12 + struct.unpack(">qi", held[at : at + 12])[1]
    with file.open("r+b") as opened:
        opened.seek(end - 3)
        opened.write(bytes([held[end - 3] ^ 1]))


def hear(reader: Any, heard: list[int]) -> None:
    """Read until it fails."""
    deadline = time.monotonic() + world.LIMIT_S
    while time.monotonic() < deadline:
        heard += numbers_of(reader.poll(1000, 60))


@pytest.mark.parametrize("start", [0, BATCH, BATCH + 5])
def test_a_rotten_batch_is_told_from_wherever_it_is_met_and_passes_no_record_over(
    own: Kafka, log: Any, start: int
) -> None:
    """A batch is named by its first offset; a reader that begins within it waited for an answer that never came."""
    topic = world.new_topic()
    log.ensure_topics([topic_spec(topic)])
    producer = log.producer()
    for first in range(0, 3 * 4 * BATCH, 4 * BATCH):
        producer.produce([numbered(topic, range(first, first + 4 * BATCH))])
    assert set(log.ends([topic]).values()) == {3 * BATCH}, "three batches on each partition"
    rot(own, topic, 1, 1)
    reader = log.consumer([topic])
    reader.seek({(topic, 1): start})
    heard: list[int] = []
    for _ in range(2):
        with pytest.raises(LogCorruptError, match=rf"{topic}/1 .*CRC"):
            hear(reader, heard)
    assert [n for n in heard if n % 4 == 1] == [4 * offset + 1 for offset in range(start, BATCH)]
    assert reader.positions()[topic, 1] == max(start, BATCH)
    reader.only(frozenset(place for place in reader.positions() if place[1] != 1))
    heard += numbers_of(drain(reader))
    assert sorted(n for n in heard if n % 4 != 1) == [n for n in range(12 * BATCH) if n % 4 != 1]
    reader.only(frozenset({(topic, 1)}))
    reader.seek({(topic, 1): 2 * BATCH})
    assert numbers_of(drain(reader)) == [4 * offset + 1 for offset in range(2 * BATCH, 3 * BATCH)]
