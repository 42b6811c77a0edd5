"""A name that returns is not the topic that was read: nothing of another one is ever handed out."""

from __future__ import annotations

import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import kafka_world as world
import pytest
from confluent_kafka.admin import AdminClient

from k2core.plugin import BrokerAwayError, TopicChangedError
from k2core.testing.conformance.broker_world import drain, numbered, numbers_of, topic_spec
from tests.services.fixtures import Address
from tests.services.process import die_with_parent

pytestmark = pytest.mark.xdist_group("kafka")
READER = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import kafka_world
from k2core.plugin import TopicChangedError
from k2core.testing.conformance.broker_world import numbers_of
log = kafka_world.broker(sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4]))
reader = log.consumer([sys.argv[5]])
while True:
    try:
        found = numbers_of(reader.poll(1000, 0.2))
    except TopicChangedError:
        print("changed", flush=True)
        break
    if found:
        print(*found, flush=True)
"""


class Remade:
    """A topic of 40 records, and another one of its name with 400."""

    def __init__(self, kafka: str, registry: str, folder: pathlib.Path) -> None:
        self.log, self.topic = world.broker(kafka, registry, folder), str(world.new_topic())
        self.asked = [
            sys.executable,
            "-c",
            READER,
            str(pathlib.Path(__file__).parent),
            kafka,
            registry,
            str(folder),
            self.topic,
        ]
        self._admin = AdminClient({"bootstrap.servers": kafka})
        self.log.ensure_topics([topic_spec(self.topic)])
        self.log.producer().produce([numbered(self.topic, range(40))])

    def remake(self) -> None:
        before = self.log.topics()[self.topic].id
        self._admin.delete_topics([self.topic])[self.topic].result(60)
        while self.topic in self.log.topics():
            pass
        self.log.ensure_topics([topic_spec(self.topic)])
        assert self.log.topics()[self.topic].id != before
        self.log.producer().produce([numbered(self.topic, range(1000, 1400))])


@pytest.fixture
def remade(kafka: Address, schema_registry: Address, tmp_path: pathlib.Path) -> Iterator[Remade]:
    made = Remade(kafka.url, schema_registry.url, tmp_path)
    yield made
    made.log.close()


def test_a_topic_that_was_made_anew_before_the_first_poll_is_not_read(remade: Remade) -> None:
    reader = remade.log.consumer([remade.topic])
    remade.remake()
    for _ in range(2):
        with pytest.raises(TopicChangedError, match="made anew"):
            reader.poll(1000, 60)
    assert set(reader.positions().values()) == {0}, "a poll that failed has moved nothing"


def test_a_reader_whose_client_began_anew_does_not_go_on_in_another_topic(remade: Remade) -> None:
    reader = remade.log.consumer([remade.topic])
    assert len(numbers_of(drain(reader))) == 40
    reader._begin_anew()  # as after brokers that did not answer
    remade.remake()
    with pytest.raises(TopicChangedError, match="made anew"):
        reader.poll(1000, 60)


def test_a_reader_that_was_frozen_meanwhile_hands_out_nothing_of_the_other_topic(remade: Remade) -> None:
    """The client itself goes on at the old offset, without a word."""
    with subprocess.Popen(remade.asked, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent) as reader:
        assert reader.stdout is not None
        heard: list[str] = []
        while len(heard) < 40:
            heard += reader.stdout.readline().split()
        reader.send_signal(signal.SIGSTOP)
        remade.remake()
        reader.send_signal(signal.SIGCONT)
        assert reader.stdout.readline() == "changed\n"
        reader.wait(60)
    assert sorted(map(int, heard)) == list(range(40))


def test_a_topic_that_is_gone_is_told_and_one_that_nobody_can_tell_of_is_waited_for(
    remade: Remade, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = remade.log.consumer([remade.topic])
    assert reader.poll(1, 60)

    def nobody(_: Any) -> Any:
        raise BrokerAwayError("no answer")

    with monkeypatch.context() as broken:
        broken.setattr(reader._identity, "_find", nobody)
        reader._identity.doubt()
        with pytest.raises(BrokerAwayError):
            reader.poll(1000, 60)
    assert len(numbers_of(drain(reader))) == 39, "what could not be told of is read again"
