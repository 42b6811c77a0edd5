"""Subjects and ids: registered in order, read by id, kept on disk; what others registered is told, never misread."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import kafka_world as world
import pytest
from k2_plugin_kafka.lineage import Lineages
from k2_plugin_kafka.registry import Registry as Client
from k2_plugin_kafka.settings import KafkaSettings

from k2core.plugin import BrokerAwayError, SchemaError, TopicSpec
from k2core.records.builtin import TRADES
from k2core.testing.conformance.broker_world import drain, numbered, numbers_of, topic_spec
from tests.services.fixtures import Address
from tests.services.registry import Registry
from tests.services.running import running

pytestmark = pytest.mark.xdist_group("kafka")
LINEAGE = ('"int"', '"long"', '"double"')


@pytest.fixture
def topic() -> str:
    return str(world.new_topic())


def test_versions_come_back_as_they_went_in_and_grow(
    kafka: Address, schema_registry: Address, tmp_path: pathlib.Path, topic: str
) -> None:
    with world.broker(kafka.url, schema_registry.url, tmp_path) as log:
        log.ensure_topics([topic_spec(topic, schemas=LINEAGE[:1])])
        reader, producer = log.consumer([topic]), log.producer()
        producer.produce([numbered(topic, range(4))])
        assert {block.version for block in drain(reader)} == {1}
        with pytest.raises(SchemaError, match="k2 topics apply"):
            producer.produce([numbered(topic, range(4), version=2)])
        with world.broker(kafka.url, schema_registry.url, tmp_path) as newer:
            newer.ensure_topics([topic_spec(topic, schemas=LINEAGE)])
            assert newer._registry.level(f"{topic}-value") == "BACKWARD"
            newer.producer().produce([numbered(topic, range(4, 8), version=3)])
        found: list[Any] = []
        world.wait_for(lambda: found.extend(reader.poll(100, 1)) or sum(map(len, found)) == 4)
        assert {block.version for block in found} == {3}, "a reader learns of newer ids"
        assert sorted(numbers_of(found)) == [4, 5, 6, 7]


def test_a_schema_that_somebody_else_registered_is_told_at_the_start(
    kafka: Address, schema_registry: Address, tmp_path: pathlib.Path, topic: str
) -> None:
    """k2 knows its own by the data type of the topic."""
    subject = f"{topic}-value"
    wanted = [json.dumps(TRADES.avro_schema(n)) for n in range(1, TRADES.versions + 1)]
    asked = [topic_spec(topic, schemas=tuple(wanted))]
    with world.broker(kafka.url, schema_registry.url, tmp_path, data_types={"trades": TRADES}) as log:
        log.ensure_topics(asked)
        assert not log.plan(asked)
        log.consumer([topic])
        newer = json.loads(wanted[-1])
        newer["fields"].append({"name": "note", "type": ["null", "string"], "default": None})
        Client(KafkaSettings(schema_registry_url=schema_registry.url)).register(subject, json.dumps(newer))
    with world.broker(kafka.url, schema_registry.url, tmp_path, data_types={"trades": TRADES}) as log:
        (change,) = log.plan(asked)
        assert (change.kind, subject in change.refused) == ("subject", True)
        for start in (lambda: log.ensure_topics(asked), lambda: log.consumer([topic]),
                      lambda: log.producer().produce([numbered(topic, [0])])):  # fmt: skip
            with pytest.raises(SchemaError, match=rf"{subject}.*k2 schema check"):
                start()


def test_a_schema_that_cannot_read_what_is_there_is_refused(
    kafka: Address, schema_registry: Address, tmp_path: pathlib.Path, topic: str
) -> None:
    with world.broker(kafka.url, schema_registry.url, tmp_path) as log:
        log.ensure_topics([topic_spec(topic, schemas=('"int"',))])
        with pytest.raises(SchemaError, match=f"{topic}-value.*compatible"):
            log.ensure_topics([topic_spec(topic, schemas=('"int"', '"boolean"'))])


@pytest.fixture
def own(tmp_path: pathlib.Path) -> Iterator[Registry]:
    made = Registry(tmp_path / "registry")
    with running(made):
        yield made


def test_a_registry_that_is_away_stops_nothing_that_ran_before(
    kafka: Address, own: Registry, tmp_path: pathlib.Path, topic: str
) -> None:
    with world.broker(kafka.url, own.url, tmp_path) as log:
        log.ensure_topics([topic_spec(topic)])
        producer, reader = log.producer(), log.consumer([topic])
        producer.produce([numbered(topic, range(4))])
        own.kill()
        producer.produce([numbered(topic, range(4, 8))])
        assert sorted(world.hear(reader, 8)) == list(range(8))
    with world.broker(kafka.url, own.url, tmp_path) as log:
        log.producer().produce([numbered(topic, range(8, 12), version=2)])
        assert len(numbers_of(drain(log.consumer([topic])))) == 12
    with world.broker(kafka.url, own.url, tmp_path / "empty") as log:
        for start in (lambda: log.consumer([topic]), lambda: log.producer().produce([numbered(topic, [0])])):
            with pytest.raises(BrokerAwayError, match="schema registry"):
                start()
        own.start()
        world.wait_for(lambda: heard(log, topic) == 12)
    with own.frozen(), world.broker(kafka.url, own.url, tmp_path, schema_registry_timeout_s=0.5) as log:
        started = time.monotonic()
        assert heard(log, topic) == 12
        assert time.monotonic() - started < 60


def heard(log: Any, topic: str) -> int:
    try:
        return len(numbers_of(drain(log.consumer([topic]))))
    except BrokerAwayError:
        return 0


def lineages(url: str, folder: pathlib.Path, wanted: tuple[str, ...] = ()) -> Lineages:
    context = world.context()
    return Lineages(Client(KafkaSettings(schema_registry_url=url)), folder, context.logger, lambda subject: wanted)


def test_a_registry_that_gives_an_id_to_another_schema_is_an_error(schema_registry: Address, tmp_path: pathlib.Path,
                                                                   topic: str) -> None:  # fmt: skip
    subject, client = f"{topic}-value", Client(KafkaSettings(schema_registry_url=schema_registry.url))
    first, second = client.register(subject, '"int"'), client.register(subject, '"long"')
    assert lineages(schema_registry.url, tmp_path).get(subject).ids == {first: 1, second: 2}
    file = tmp_path / f"{subject}.json"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps(kept | {"ids": {str(first): 2, str(second): 1}}))
    with pytest.raises(SchemaError, match=r"was replaced.*delete"):
        lineages(schema_registry.url, tmp_path).get(subject)
    file.write_text(json.dumps(kept | {"ids": {str(first): 1, str(second): 2, "999999": 1}}))
    assert lineages(schema_registry.url, tmp_path).get(subject).ids[999999] == 1, "records of before keep their id"
    assert lineages(schema_registry.url, tmp_path).get(subject).id_of(1) == first


@pytest.mark.parametrize("cut", ["", "{", '{"ids": {"1": 9}, "schemas": []}', "[]"])
def test_a_file_of_ids_that_was_cut_is_left_out(schema_registry: Address, tmp_path: pathlib.Path, topic: str,
                                                cut: str) -> None:  # fmt: skip
    subject = f"{topic}-value"
    Client(KafkaSettings(schema_registry_url=schema_registry.url)).register(subject, '"int"')
    (tmp_path / f"{subject}.json").write_text(cut)
    assert lineages(schema_registry.url, tmp_path).get(subject).schemas == ('"int"',)
    assert json.loads((tmp_path / f"{subject}.json").read_text())["schemas"] == ['"int"']


def test_a_schema_is_the_same_however_it_is_written(
    schema_registry: Address, tmp_path: pathlib.Path, topic: str
) -> None:
    subject, fields = f"{topic}-value", [{"name": "symbol", "type": "string"}]
    record = {"type": "record", "name": "A", "fields": fields}
    Client(KafkaSettings(schema_registry_url=schema_registry.url)).register(subject, json.dumps(record, indent=2))
    turned = json.dumps(dict(reversed(record.items())))
    assert len(lineages(schema_registry.url, tmp_path, (turned,)).get(subject).schemas) == 1


def test_of_several_registries_one_that_answers_is_enough(schema_registry: Address, kafka: Address, topic: str,
                                                          tmp_path: pathlib.Path) -> None:  # fmt: skip
    with world.broker(kafka.url, f"http://127.0.0.1:1, {schema_registry.url}", tmp_path) as log:
        log.ensure_topics([TopicSpec(name=topic, partitions=1, subject=f"{topic}-value", schemas=('"int"',))])
        assert topic in log.topics()
