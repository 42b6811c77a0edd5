"""Faults of brokers, each bounded in time: what was acknowledged is in the log, and nothing is passed over in silence."""

from __future__ import annotations

import pathlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import kafka_world as world
import numpy as np
import pytest
from confluent_kafka import Producer as Client
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from k2_plugin_kafka.producer import Flight

from k2core.plugin import (
    BrokerAwayError,
    BrokerError,
    EncodedBatch,
    OffsetGoneError,
    SchemaError,
    TopicChangedError,
    TopicMissingError,
    TopicSpec,
)
from k2core.testing.conformance.broker_world import drain, numbered, numbers_of, read_all, topic_spec
from tests.services.fixtures import Address
from tests.services.kafka import Kafka
from tests.services.running import running

pytestmark = pytest.mark.xdist_group("kafka-faults")
wait_for = world.wait_for


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker to be broken."""
    made = Kafka(tmp_path_factory.mktemp("kafka-faults"))
    with running(made):
        yield made


@pytest.fixture
def log(own: Kafka, schema_registry: Address, tmp_path: pathlib.Path) -> Iterator[Any]:
    with world.broker(own.bootstrap_servers, schema_registry.url, tmp_path) as made:
        yield made


@pytest.fixture
def hasty(own: Kafka, schema_registry: Address, tmp_path: pathlib.Path) -> Iterator[Any]:
    """Does not wait for long."""
    with world.broker(own.bootstrap_servers, schema_registry.url, tmp_path, answer_timeout_s=2) as made:
        yield made


@pytest.fixture
def topic(log: Any) -> str:
    name: str = world.new_topic()
    log.ensure_topics([topic_spec(name)])
    return name


class Appending:
    """Appends in a thread, sending again what failed, as capture does."""

    def __init__(self, log: Any, topic: str) -> None:
        self._producer, self._topic, self.stop = log.producer(), topic, threading.Event()
        self.acknowledged, self.failures = set[int](), list[BrokerError]()

    def __call__(self) -> None:
        start = 0
        while not self.stop.is_set():
            try:
                self._producer.produce([numbered(self._topic, range(start, start + 40))])
            except BrokerError as error:
                self.failures.append(error)
                continue
            self.acknowledged |= set(range(start, start + 40))
            start += 40


def stored(log: Any, topic: str) -> list[int]:
    return numbers_of(read_all(log, topic))


@pytest.mark.parametrize("patience_s", [120, 1])
def test_a_broker_is_killed_and_comes_back(own: Kafka, log: Any, hasty: Any, topic: str, tmp_path: pathlib.Path,
                                           patience_s: int, schema_registry: Address) -> None:  # fmt: skip
    """Within the client's patience nothing is stored twice; beyond it, what was sent again may be. A reader reads on."""
    reader, heard = log.consumer([topic]), list[int]()
    with (
        world.broker(own.bootstrap_servers, schema_registry.url, tmp_path, delivery_timeout_s=patience_s) as appending,
        ThreadPoolExecutor(1) as pool,
    ):
        work = Appending(appending, topic)
        done = pool.submit(work)
        wait_for(lambda: len(work.acknowledged) > 400)
        heard += numbers_of(reader.poll(100, 60))
        own.kill()
        with pytest.raises(BrokerAwayError):
            hasty.ends([topic])
        if patience_s == 1:
            wait_for(lambda: work.failures)
        own.start()
        before = len(work.acknowledged)
        wait_for(lambda: len(work.acknowledged) > before + 400)
        work.stop.set()
        done.result(120)
    got = stored(log, topic)
    assert work.acknowledged <= set(got), f"{len(work.acknowledged - set(got))} acknowledged records are gone"
    assert all(isinstance(error, BrokerAwayError) for error in work.failures)
    if patience_s > 1:
        assert sorted(heard + world.hear(reader, len(got) - len(heard))) == sorted(got)
        assert not work.failures
        assert len(got) == len(set(got))


def test_a_frozen_broker_is_away_in_time_and_nothing_is_lost(own: Kafka, log: Any, hasty: Any, topic: str) -> None:
    producer, fresh, after = log.producer(), hasty.consumer([topic]), log.consumer([topic])
    producer.produce([numbered(topic, range(8))])
    with ThreadPoolExecutor(1) as pool:
        with own.frozen():
            flying = pool.submit(producer.produce, [numbered(topic, range(8, 16))])
            started = time.monotonic()
            for ask in (lambda: hasty.ends([topic]), lambda: fresh.poll(10, 0), hasty.topics):
                with pytest.raises(BrokerAwayError):
                    ask()
            assert time.monotonic() - started < 60
            assert not flying.done()
        flying.result(120)
    assert sorted(numbers_of(drain(after))) == list(range(16))


def test_closing_the_log_ends_an_append_that_waits(own: Kafka, log: Any, topic: str) -> None:
    producer = log.producer()
    producer.produce([numbered(topic, range(4))])
    with ThreadPoolExecutor(1) as pool, own.frozen():
        flying = pool.submit(producer.produce, [numbered(topic, range(4, 8))])
        wait_for(lambda: flying.running())
        log.close()
        with pytest.raises(BrokerAwayError, match="closed"):
            flying.result(60)


def test_a_topic_that_is_made_anew_is_noticed_by_who_reads(log: Any, topic: str, own: Kafka) -> None:
    producer, consumer = log.producer(), log.consumer([topic])
    producer.produce([numbered(topic, range(40))])
    assert len(numbers_of(drain(consumer))) == 40
    before = log.topics()[topic].id
    admin = AdminClient({"bootstrap.servers": own.bootstrap_servers})
    admin.delete_topics([topic])[topic].result(60)
    wait_for(lambda: topic not in log.topics())
    with pytest.raises(TopicMissingError, match="k2 topics apply"):
        log.consumer([topic])
    log.ensure_topics([topic_spec(topic)])
    assert log.topics()[topic].id != before
    log.producer().produce([numbered(topic, range(100))])
    with pytest.raises(TopicChangedError):
        wait_for(lambda: consumer.poll(100, 0.2) is None)


def test_what_retention_removed_is_told_and_reading_goes_on_from_the_start(log: Any, topic: str, own: Kafka) -> None:
    log.producer().produce([numbered(topic, range(40))])
    late = log.consumer([topic])
    admin = AdminClient({"bootstrap.servers": own.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(topic, p, 5) for p in range(4)]).values():
        future.result(60)
    assert set(log.starts([topic]).values()) == {5}
    with pytest.raises(OffsetGoneError, match="retention"):
        late.poll(10, 0)
    late.seek(log.starts([topic]))
    assert sorted(numbers_of(drain(late))) == list(range(20, 40))


def test_holes_of_transactions_are_passed_also_behind_the_last_record(log: Any, topic: str, own: Kafka) -> None:
    log.producer().produce([numbered(topic, range(4))])
    other = Client({"bootstrap.servers": own.bootstrap_servers, "transactional.id": topic})
    other.init_transactions(60)
    for _ in range(2):
        other.begin_transaction()
        for p in range(4):
            other.produce(topic, b"foreign", partition=p)
        other.flush(60)
        other.abort_transaction(60)
    # The coordinator answers before its markers are in every partition.
    wait_for(lambda: set(log.ends([topic]).values()) == {5})
    ends, consumer = log.ends([topic]), log.consumer([topic])
    assert sorted(numbers_of(drain(consumer))) == list(range(4))
    assert dict(consumer.positions()) == ends, "a table that has all must be able to say so"
    consumer.seek(dict.fromkeys(ends, 1))
    assert not drain(consumer)
    assert dict(consumer.positions()) == ends, "a hole right behind a seek is believed in the end"
    log.producer().produce([numbered(topic, range(4, 8))])
    assert sorted(world.hear(consumer, 4)) == list(range(4, 8))


def test_what_others_wrote_is_version_0_with_all_its_bytes(log: Any, topic: str, own: Kafka) -> None:
    other = Client({"bootstrap.servers": own.bootstrap_servers})
    foreign = [b"plain", None, b"", b"\x00\x00\x00", b"\x00\x7f\xff\xff\xffdatum"]
    for value in foreign:
        other.produce(topic, value, partition=0)
    other.flush(60)
    log.producer().produce([numbered(topic, [0])])
    blocks = drain(log.consumer([topic]))
    assert b"".join(b.data for b in blocks if not b.version) == b"".join(value or b"" for value in foreign)
    assert [len(b) for b in blocks if b.version] == [1]
    assert sum(len(b) for b in blocks) == len(foreign) + 1


def test_a_report_without_an_offset_is_no_report(own: Kafka, topic: str) -> None:
    """With `acks=0` the client reports what it sent without an offset: the real thing, of which librdkafka has other causes."""
    flight = Flight()
    client = Client({"bootstrap.servers": own.bootstrap_servers, "acks": 0})
    flight.sent = client.produce_batch(topic, [{"value": b"x"}] * 3, partition=0, on_delivery=flight.of(topic, 0))
    client.flush(60)
    assert (flight.sent, flight.pending, flight.refused()) == (3, 0, [None] * 3)


def test_a_small_buffer_only_slows_and_keeps_order(own: Kafka, log: Any, topic: str, tmp_path: pathlib.Path,
                                                   schema_registry: Address) -> None:  # fmt: skip
    more = {"buffer_records": 100, "buffer_bytes": 1 << 20}
    with world.broker(own.bootstrap_servers, schema_registry.url, tmp_path, **more) as narrow:
        narrow.producer().produce([numbered(topic, range(3000)), numbered(topic, range(3000, 3100), size=100_000)])
    got = stored(log, topic)
    assert sorted(got) == list(range(3100))
    assert all([n for n in got if n % 4 == p] == list(range(p, 3100, 4)) for p in range(4))


def test_a_record_that_is_too_large_is_refused_before_anything_is_appended(log: Any, topic: str) -> None:
    large = EncodedBatch(topic, 1, np.zeros(1, np.int32), np.array([600_000], np.uint32), bytes(600_000))
    with pytest.raises(SchemaError, match="message_bytes"):
        log.producer().produce([numbered(topic, range(4)), large])
    assert log.ends([topic]) == {}


def test_many_seeks_while_others_append_miss_nothing(log: Any, topic: str) -> None:
    """A message of before a seek that comes after it would be a hole in silence."""
    dice, work = np.random.default_rng(7), Appending(log, topic)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        wait_for(lambda: len(work.acknowledged) > 400)
        consumer = log.consumer([topic])
        for _ in range(25):
            at = {(topic, p): int(dice.integers(0, 100)) for p in range(4) if dice.random() < 0.7}
            consumer.seek(at)
            expected = dict(consumer.positions())
            for block in (b for _ in range(3) for b in consumer.poll(50, 0)):
                place = block.topic, block.partition
                assert block.first_offset == expected[place], f"{place}: read from {block.first_offset}"
                expected[place] = block.next_offset
        work.stop.set()
        done.result(120)


def test_only_some_partitions_are_read_and_the_others_later(log: Any, topic: str) -> None:
    log.producer().produce([numbered(topic, range(40))])
    consumer = log.consumer([topic])
    consumer.only(frozenset({(topic, 1), (topic, 2)}))
    assert {n % 4 for n in numbers_of(drain(consumer))} == {1, 2}
    assert set(consumer.positions()) == {(topic, 1), (topic, 2)}
    consumer.only(frozenset({(topic, 2), (topic, 3)}))
    consumer.seek({(topic, 3): 4})
    log.producer().produce([numbered(topic, range(40, 44))])
    expected = [*range(19, 40, 4), 42, 43]
    assert sorted(world.hear(consumer, len(expected))) == expected


def test_topics_differ_from_what_is_wanted_and_are_mended(log: Any, topic: str, own: Kafka, tmp_path: pathlib.Path,
                                                          schema_registry: Address) -> None:  # fmt: skip
    assert not log.plan([topic_spec(topic)])
    with world.broker(own.bootstrap_servers, schema_registry.url, tmp_path, retention_hours=1) as other:
        (change,) = other.plan([topic_spec(topic)])
        assert (change.kind, change.name, change.want) == ("setting", f"{topic} retention.ms", "3600000")
        other.ensure_topics([topic_spec(topic)])
        assert not other.plan([topic_spec(topic)])
    (refused,) = [c for c in log.plan([topic_spec(topic, partitions=8)]) if c.kind == "topic"]
    assert "fixed" in refused.refused
    (missing, subject, level) = log.plan([topic_spec(f"{topic}2")])
    assert (missing.kind, missing.have, subject.kind, level.kind) == ("topic", "", "subject", "compatibility")
    with world.broker(own.bootstrap_servers, schema_registry.url, tmp_path, replication_factor=3) as three:
        with pytest.raises(BrokerError, match=r"there is 1 broker: .*replication_factor = 1"):
            three.ensure_topics(
                [TopicSpec(name=f"{topic}3", partitions=1, subject=f"{topic}3-value", schemas=('"int"',))]
            )
        assert any("reassign" in change.refused for change in three.plan([topic_spec(topic)]))
