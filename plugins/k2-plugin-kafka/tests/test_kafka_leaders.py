"""Three brokers, of which one dies: leaders move, and what was acknowledged stays, once and in order."""

from __future__ import annotations

import os
import pathlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import kafka_world as world
import pytest

from k2core.plugin import BrokerAwayError, BrokerError
from k2core.testing.conformance.broker_world import PARTITIONS, numbered, numbers_of, read_all, topic_spec
from tests.services.fixtures import Address
from tests.services.kafka import Kafka, three_brokers
from tests.services.process import UnavailableError

pytestmark = pytest.mark.xdist_group("kafka-leaders")
MOVES = 3 if os.environ.get("K2_LONG") else 1


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Kafka]]:
    try:
        with three_brokers(tmp_path_factory.mktemp("three")) as made:
            yield made
    except UnavailableError as error:
        pytest.skip(str(error))


def each_dies(victims: list[Kafka], log: Any, topic: str, reader: Any, acknowledged: set[int]) -> list[int]:
    """Kill one broker after the other; what was read meanwhile."""
    heard = list[int]()
    for victim in victims:
        more(acknowledged)
        victim.kill()
        more(acknowledged)
        heard += numbers_of(reader.poll(100_000, 60))
        victim.start()
        log._cluster.wait_ready([topic])
    return heard


def test_a_leader_dies(brokers: list[Kafka], schema_registry: Address, tmp_path: pathlib.Path) -> None:
    servers = ",".join(one.bootstrap_servers for one in brokers)
    topic, stop, acknowledged = world.new_topic(), threading.Event(), set[int]()

    def append(log: Any) -> None:
        producer, start = log.producer(), 0
        while not stop.is_set():
            try:
                producer.produce([numbered(topic, range(start, start + 40))])
            except BrokerError:
                continue
            acknowledged.update(range(start, start + 40))
            start += 40

    with (
        world.broker(servers, schema_registry.url, tmp_path, replication_factor=3) as log,
        ThreadPoolExecutor(1) as pool,
    ):
        log.ensure_topics([topic_spec(topic)])
        assert not log.plan([topic_spec(topic)])
        heard, reader = list[int](), log.consumer([topic])
        done = pool.submit(append, log)
        try:
            heard += each_dies(brokers[:MOVES], log, topic, reader, acknowledged)
        finally:
            stop.set()
        done.result(180)
        got = numbers_of(read_all(log, topic, timeout=2))
        while len(heard) < len(got):
            heard += numbers_of(reader.poll(100_000, 60))
    assert acknowledged <= set(got)
    assert len(got) == len(set(got)), "within the client's patience nothing is stored twice"
    assert sorted(heard) == sorted(got), "a reader that lived through it read the same"
    for p in range(PARTITIONS):
        own = [n for n in got if n % PARTITIONS == p]
        assert own == sorted(own)


def test_partitions_without_a_leader_are_told_in_time(
    brokers: list[Kafka], schema_registry: Address, tmp_path: pathlib.Path
) -> None:
    """The client answers for a leader that has just died with -1 and no error: its partitions looked empty."""
    servers = ",".join(one.bootstrap_servers for one in brokers)
    with world.broker(servers, schema_registry.url, tmp_path) as log:
        topic = world.new_topic()
        log.ensure_topics([topic_spec(topic)])
        log.producer().produce([numbered(topic, range(40))])
    with world.broker(servers, schema_registry.url, tmp_path, answer_timeout_s=3) as log:
        brokers[2].kill()
        for ask in (log.ends, log.starts):
            started = time.monotonic()
            with pytest.raises(BrokerAwayError):
                ask([topic])
            assert time.monotonic() - started < 60
        brokers[2].start()
    with world.broker(servers, schema_registry.url, tmp_path) as log:
        log._cluster.wait_ready([topic])
        assert sum(log.ends([topic]).values()) == 40


def test_a_dead_broker_that_is_named_controller_delays_answers_and_fails_none(
    brokers: list[Kafka], schema_registry: Address, tmp_path: pathlib.Path
) -> None:
    """Any broker is named, until its session is over; the client waited for the dead one through all of its patience."""
    servers, topic = ",".join(one.bootstrap_servers for one in brokers), world.new_topic()
    with world.broker(servers, schema_registry.url, tmp_path, answer_timeout_s=20) as log:
        log.ensure_topics([topic_spec(topic)])
        for victim in brokers[:MOVES]:
            victim.kill()
            until = time.monotonic() + 4
            while time.monotonic() < until:
                assert list(log._cluster.infos([topic])) == [topic]
                assert log._cluster.configs([topic])[topic]
            victim.start()
            log._cluster.wait_ready([topic])


def more(acknowledged: set[int], limit_s: float = 120) -> None:
    """Wait until further records are acknowledged."""
    before, deadline = len(acknowledged), time.monotonic() + limit_s
    while len(acknowledged) < before + 400:
        assert time.monotonic() < deadline, f"nothing was acknowledged for {limit_s:g} s"
        time.sleep(0.01)
