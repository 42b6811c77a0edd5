"""What is closed ends, in every thread, and leaves nothing behind."""

from __future__ import annotations

import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import kafka_world as world
import pytest

from k2core.plugin import BrokerError
from k2core.testing.conformance.broker_world import numbered, topic_spec
from tests.services.fixtures import Address

pytestmark = pytest.mark.xdist_group("kafka")


@pytest.fixture
def log(kafka: Address, schema_registry: Address, tmp_path: pathlib.Path) -> Iterator[Any]:
    with world.broker(kafka.url, schema_registry.url, tmp_path) as made:
        yield made


@pytest.fixture
def topic(log: Any) -> str:
    name: str = world.new_topic()
    log.ensure_topics([topic_spec(name)])
    return name


def tasks() -> int:
    """Threads of this process, the clients' own included."""
    return len(list(pathlib.Path("/proc/self/task").iterdir()))


def for_ever(step: Callable[[], object], begun: threading.Event) -> None:
    while True:
        step()
        begun.set()


@pytest.mark.parametrize("kind", ["reader", "member"])
def test_a_log_that_is_closed_ends_whoever_asks_it_in_another_thread(log: Any, topic: str, kind: str) -> None:
    """A reader made itself a new client, and read on."""
    begun = threading.Event()
    reader, member = log.consumer([topic]), log.join(topic, [topic])
    step = (lambda: reader.poll(10, 0.05)) if kind == "reader" else member.partitions
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(for_ever, step, begun)
        assert begun.wait(60)
        log.close()
        with pytest.raises(BrokerError, match="closed"):
            asking.result(60)


def test_a_poll_that_waits_ends_when_the_log_is_closed(log: Any, topic: str) -> None:
    reader = log.consumer([topic])
    assert not reader.poll(1, 0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.poll, 10, 600)
        while not waiting.running():
            time.sleep(0.01)
        log.close()
        with pytest.raises(BrokerError, match="closed"):
            waiting.result(60)


def test_what_was_closed_stays_closed(log: Any, topic: str) -> None:
    reader, member, producer = log.consumer([topic]), log.join(topic, [topic]), log.producer()
    producer.produce([numbered(topic, range(4))])
    for one in (reader, member, producer, reader, member, producer):
        one.close()
    member.note({(topic, 0): 1})
    for ask in (lambda: reader.poll(1, 0), member.partitions, lambda: producer.produce([numbered(topic, [4])])):
        with pytest.raises(BrokerError, match="closed"):
            ask()
    assert sum(log.ends([topic]).values()) == 4, "of the log only these were closed"


def test_nothing_is_left_of_a_log_that_was_closed(kafka: Address, schema_registry: Address, tmp_path: pathlib.Path,
                                                  topic: str) -> None:  # fmt: skip
    """Its parts may be held by somebody for longer."""
    kept: list[Any] = []
    counts: list[int] = []
    for start in range(0, 16, 4):
        with world.broker(kafka.url, schema_registry.url, tmp_path) as made:
            kept += [reader := made.consumer([topic]), producer := made.producer(), made.join(topic, [topic]), made]
            producer.produce([numbered(topic, range(start, start + 4))])
            assert reader.poll(10, 60)
        deadline = time.monotonic() + 60
        while counts and tasks() > counts[0] and time.monotonic() < deadline:
            time.sleep(0.05)
        counts.append(tasks())
    assert counts[-1] <= counts[0], f"threads after each: {counts}"
