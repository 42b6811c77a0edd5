"""Every figure about Kafka moves, by the thing that it is about."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import kafka_world as world
import pytest
from confluent_kafka import TopicPartition

from k2core.plugin import BrokerAwayError, SchemaError, TopicMissingError
from k2core.telemetry.catalogue import CATALOGUE
from k2core.testing.conformance.broker_world import drain, numbered, topic_spec
from tests.services.fixtures import Address
from tests.services.kafka import Kafka
from tests.services.running import running

pytestmark = pytest.mark.xdist_group("kafka-faults")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    made = Kafka(tmp_path_factory.mktemp("kafka-metrics"))
    with running(made):
        yield made


@pytest.fixture
def log(own: Kafka, schema_registry: Address, tmp_path: pathlib.Path) -> Iterator[Any]:
    more = {"answer_timeout_s": 1, "delivery_timeout_s": 5, "connect_timeout_s": 1}
    with world.broker(own.bootstrap_servers, schema_registry.url, tmp_path, **more) as made:
        yield made


@pytest.fixture
def topic(log: Any) -> str:
    name: str = world.new_topic()
    patiently(lambda: log.ensure_topics([topic_spec(name)]))
    return name


def test_what_runs_well_shows(log: Any, topic: str) -> None:
    value = log._metrics.value
    before = value("k2_kafka_delivery_seconds")
    patiently(lambda: log.producer().produce([numbered(topic, range(40))]))
    assert value("k2_kafka_delivery_seconds") == before + 1
    asked = value("k2_kafka_answer_seconds")
    patiently(lambda: log.ends([topic]))
    assert value("k2_kafka_answer_seconds") >= asked + 1
    assert value("k2_kafka_registry_requests_total", outcome="answered") > 0
    one = log.join(topic, [topic])
    world.wait_for(one.partitions)
    assert value("k2_kafka_unassigned_seconds_total") > 0
    assert value("k2_kafka_rebalances_total", kind="given") >= 1
    two = log.join(topic, [topic])
    world.wait_for(lambda: one.partitions() is not None and two.partitions())
    assert value("k2_kafka_rebalances_total", kind="asked-back") >= 1


def patiently(ask: Callable[[], object]) -> None:
    """The waits of this log are short, and the machine may be busy."""
    deadline = time.monotonic() + 60
    while True:
        try:
            ask()
            return
        except BrokerAwayError:
            assert time.monotonic() < deadline


def test_a_broker_that_is_frozen_shows(own: Kafka, log: Any, topic: str) -> None:
    """k2_kafka_append_failures_total by reason, k2_kafka_clients_discarded_total by role, and what waits meanwhile."""
    metrics, producer, reader = log._metrics, log.producer(), log.consumer([topic])
    patiently(lambda: producer.produce([numbered(topic, range(4))]))
    before = metrics.value("k2_kafka_append_failures_total", reason="away")
    with ThreadPoolExecutor(1) as pool, own.frozen():
        flying = pool.submit(producer.produce, [numbered(topic, range(4, 44))])

        def waits() -> bool:
            metrics.refresh()
            return bool(metrics.value("k2_kafka_unconfirmed_records") == 40)

        world.wait_for(waits)
        with pytest.raises(BrokerAwayError):
            reader.poll(1, 0)
        with pytest.raises(BrokerAwayError):
            log.topics()
        with pytest.raises(BrokerAwayError):
            flying.result(60)
    metrics.refresh()
    assert metrics.value("k2_kafka_unconfirmed_records") == 0
    assert metrics.value("k2_kafka_append_failures_total", reason="away") == before + 1
    for role in ("producer", "reader", "admin"):
        assert metrics.value("k2_kafka_clients_discarded_total", role=role) >= 1, role
    world.wait_for(lambda: len(heard(log, topic)) >= 4)


def heard(log: Any, topic: str) -> list[Any]:
    try:
        return drain(log.consumer([topic]))
    except BrokerAwayError:
        return []


def test_a_registry_that_is_away_shows(kafka: Address, schema_registry: Address, tmp_path: pathlib.Path) -> None:
    name = world.new_topic()
    with world.broker(kafka.url, schema_registry.url, tmp_path) as log:
        log.ensure_topics([topic_spec(name, schemas=('"int"',))])
        with pytest.raises(SchemaError):
            log.ensure_topics([topic_spec(name, schemas=('"int"', '"boolean"'))])
        assert log._metrics.value("k2_kafka_registry_requests_total", outcome="refused") == 1
        assert log._metrics.value("k2_kafka_registry_cache_uses_total") == 0
    with world.broker(kafka.url, "http://127.0.0.1:1", tmp_path) as log:
        log.consumer([name])
        assert log._metrics.value("k2_kafka_registry_requests_total", outcome="away") >= 1
        assert log._metrics.value("k2_kafka_registry_cache_uses_total") == 1


def test_a_topic_that_is_gone_shows(own: Kafka, log: Any, topic: str) -> None:
    producer = log.producer()
    patiently(lambda: producer.produce([numbered(topic, range(4))]))
    log._cluster.admin.delete_topics([topic])[topic].result(60)
    world.wait_for(lambda: "k2 topics apply" in refusal(producer, topic))
    assert log._metrics.value("k2_kafka_append_failures_total", reason="missing") == 1


def refusal(producer: Any, topic: str) -> str:
    """What an append says, where it is said of the topic."""
    try:
        producer.produce([numbered(topic, range(4))])
    except TopicMissingError as error:
        return str(error)
    except BrokerAwayError:
        return ""
    return ""


def test_an_outage_that_is_over_is_no_cause_of_the_next(
    own: Kafka, topic: str, schema_registry: Address, tmp_path: pathlib.Path
) -> None:
    with world.broker(own.bootstrap_servers, schema_registry.url, tmp_path, delivery_timeout_s=5) as log:
        producer, batch = log.producer(), [numbered(topic, range(8))]
        patiently(lambda: producer.produce(batch))
        own.kill()
        with pytest.raises(BrokerAwayError, match="refused"):
            producer.produce(batch)
        own.start()
        patiently(lambda: producer.produce(batch))
        with own.frozen(), pytest.raises(BrokerAwayError) as told:
            producer.produce(batch)
    assert "refused" not in str(told.value)


def test_who_leaves_does_not_wait_for_a_frozen_broker(own: Kafka, log: Any, topic: str, caplog: Any) -> None:
    """The client waits for the answer to its last note without end: a writer that was to end did not."""
    member = log.join("leaving", [topic])
    world.wait_for(member.partitions)
    places = [TopicPartition(*place) for place in member.partitions()]
    member.note(dict.fromkeys(member.partitions(), 7))
    world.wait_for(lambda: {one.offset for one in member._client.committed(places, 60)} == {7})
    with own.frozen(), ThreadPoolExecutor(1) as pool:
        member.note(dict.fromkeys(member.partitions(), 8))
        leaving = pool.submit(member.close)
        try:
            leaving.result(60)
        finally:
            own.thaw()
    assert "left without saying so" in caplog.text


def test_no_figure_is_left_out() -> None:
    """Those that these tests look at are all that there are."""
    text = pathlib.Path(__file__).read_text()
    assert [name for name in CATALOGUE if name.startswith("k2_kafka_") and name not in text] == []
