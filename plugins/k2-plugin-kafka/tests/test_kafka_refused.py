"""A member that brokers will not have says why, and one that they will have on other terms takes those."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Iterator
from typing import Any

import kafka_world as world
import pytest
from confluent_kafka import Consumer as Client

from k2core.plugin import BrokerError, ConfigError
from k2core.testing.conformance.broker_world import PARTITIONS, topic_spec
from tests.services.fixtures import Address
from tests.services.kafka import Kafka
from tests.services.running import running

pytestmark = pytest.mark.xdist_group("kafka-refused")
until = world.until


def strict(folder: pathlib.Path, least_s: int) -> Iterator[Kafka]:
    made = Kafka(folder, settings={"group.min.session.timeout.ms": str(least_s * 1000)})
    with running(made):
        yield made


@pytest.fixture
def usual(tmp_path: pathlib.Path) -> Iterator[Kafka]:
    """A broker as it comes: no session shorter than 6 s."""
    yield from strict(tmp_path / "kafka", 6)


@pytest.fixture
def slow(tmp_path: pathlib.Path) -> Iterator[Kafka]:
    yield from strict(tmp_path / "kafka", 10)


def made_topic(log: Any) -> str:
    name: str = world.new_topic()
    log.ensure_topics([topic_spec(name)])
    return name


def test_where_brokers_refuse_a_short_session_6_s_are_taken_and_said_once(
    usual: Kafka, schema_registry: Address, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    with world.broker(usual.bootstrap_servers, schema_registry.url, tmp_path) as log:
        topic = made_topic(log)
        one = log.join("lake", [topic])
        until("one has all", lambda: len(one.partitions()) == PARTITIONS)
        two = log.join("lake", [topic])
        until("two share", lambda: [len(m.partitions()) for m in (one, two)] == [PARTITIONS // 2] * 2)
        told = [r.getMessage() for r in caplog.records if "refuse session_timeout_s=4" in r.getMessage()]
        assert len(told) == 2, "each says it once"
        assert all(member._session_s == 6 for member in (one, two))
        two.close()
        until("one takes over", lambda: len(one.partitions()) == PARTITIONS)
        (group,) = [finding for finding in log.findings() if finding.name == "broker group"]
        assert "after 6 s" in group.detail


def test_where_brokers_want_longer_sessions_than_that_the_setting_is_named(
    slow: Kafka, schema_registry: Address, tmp_path: pathlib.Path
) -> None:
    """It waited for ever, without a partition and without a word."""
    with world.broker(slow.bootstrap_servers, schema_registry.url, tmp_path) as log:
        topic = made_topic(log)
        member = log.join("lake", [topic])
        with pytest.raises(ConfigError, match=r"session_timeout_s .*group\.min\.session"):
            until("it is told", lambda: member.partitions() is None)
    with world.broker(slow.bootstrap_servers, schema_registry.url, tmp_path, session_timeout_s=10) as log:
        member = log.join("lake", [topic])
        until("it has all", lambda: len(member.partitions()) == PARTITIONS)


def test_a_stranger_in_the_group_is_told_of_for_as_long_as_it_is_there(
    kafka: Address, schema_registry: Address, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with world.broker(kafka.url, schema_registry.url, tmp_path) as log:
        topic = made_topic(log)
        given: list[Any] = []
        stranger = Client({
            "bootstrap.servers": kafka.url, "group.id": f"k2.{topic}", "partition.assignment.strategy": "range",
        })  # fmt: skip
        stranger.subscribe([topic], on_assign=lambda _, places: given.extend(places))
        until("the stranger has all", lambda: stranger.poll(0.05) is None and len(given) == PARTITIONS)
        member = log.join(topic, [topic])
        with pytest.raises(BrokerError, match="not k2 is in this group"):
            until("it is told", lambda: stranger.poll(0) is None and member.partitions() is None)
        stranger.close()

        def has_all() -> bool:
            try:
                return len(member.partitions()) == PARTITIONS
            except BrokerError:
                return False

        until("then the member has all", has_all)
