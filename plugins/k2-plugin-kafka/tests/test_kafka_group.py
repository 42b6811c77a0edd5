"""Members of a group share partitions: all of them are always somebody's, and nobody's twice, whoever comes or goes."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import kafka_world as world
import pytest

from k2core.plugin import Partition, TopicSpec
from tests.services.fixtures import Address
from tests.services.process import die_with_parent

pytestmark = pytest.mark.xdist_group("kafka")
until = world.until
PARTITIONS, MOVED_S = 8, 30.0
"""The client's own session would be 45 s; what it takes on a machine that is not busy, benchmarks tell."""
MEMBER = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import kafka_world, pathlib
log = kafka_world.broker(sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4]))
member, last = log.join(sys.argv[6], [sys.argv[5]]), None
while True:
    held = sorted(member.partitions())
    if held != last:
        print(json.dumps(held), flush=True)
        last = held
    time.sleep(0.02)
"""


class World:
    def __init__(self, kafka: str, registry: str, folder: pathlib.Path) -> None:
        self.log = world.broker(kafka, registry, folder)
        self.topic = world.new_topic()
        self.log.ensure_topics(
            [TopicSpec(name=self.topic, partitions=PARTITIONS, subject=f"{self.topic}-value", schemas=('"int"',))]
        )
        self.every = {(self.topic, p) for p in range(PARTITIONS)}
        self._folder, self._kafka, self._registry = folder, kafka, registry
        self.others: list[subprocess.Popen[str]] = []

    def join(self, leaving: Any = None) -> Any:
        return self.log.join("lake", [self.topic], leaving)

    def process(self) -> subprocess.Popen[str]:
        """Another member, in a process of its own."""
        here = str(pathlib.Path(__file__).parent)
        asked = [sys.executable, "-c", MEMBER, here, self._kafka, self._registry, str(self._folder), self.topic, "lake"]
        self.others.append(subprocess.Popen(asked, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent))
        return self.others[-1]

    def close(self) -> None:
        self.log.close()
        for one in self.others:
            one.kill()
            one.communicate()


@pytest.fixture
def group(kafka: Address, schema_registry: Address, tmp_path: pathlib.Path) -> Iterator[World]:
    made = World(kafka.url, schema_registry.url, tmp_path)
    yield made
    made.close()


def shared(group: World, *members: Any) -> Callable[[], bool]:
    def holds() -> bool:
        shares = [member.partitions() for member in members]
        taken: list[Partition] = [place for share in shares for place in share]
        assert len(taken) == len(set(taken)), f"a partition has two owners: {shares}"
        return set(taken) == group.every and all(shares)

    return holds


def test_three_members_share_and_whoever_leaves_hands_over(group: World) -> None:
    one = group.join()
    until("one member has all", shared(group, one))
    two, three = group.join(), group.join()
    until("three share", shared(group, one, two, three))
    one.note({(group.topic, 0): 3})
    before = one.partitions()
    two.close()
    took = until("two take over", shared(group, one, three))
    assert took < MOVED_S, took
    assert before <= one.partitions(), "who stays keeps what it has: the others go on meanwhile"


def test_the_last_moment_before_partitions_go_is_told(group: World) -> None:
    given_up: list[frozenset[Partition]] = []
    one = group.join(given_up.append)
    until("one member has all", shared(group, one))
    two = group.join()
    until("two share", shared(group, one, two))
    assert set().union(*given_up) == two.partitions()


def test_what_fails_at_that_moment_is_raised_and_the_partitions_go_all_the_same(group: World) -> None:
    def leaving(_: frozenset[Partition]) -> None:
        raise RuntimeError("cannot commit")

    one = group.join(leaving)
    until("one member has all", shared(group, one))
    two = group.join()
    with pytest.raises(RuntimeError, match="cannot commit"):
        until("it is raised", lambda: one.partitions() is None or two.partitions() is None)
    until("two share", shared(group, one, two))


@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP])
def test_a_member_that_dies_or_freezes_loses_its_share_in_time(group: World, fate: signal.Signals) -> None:
    one, other = group.join(), group.process()
    said: list[list[Any]] = []
    threading.Thread(target=lambda: said.extend(map(json.loads, other.stdout or ())), daemon=True).start()
    until("each has half", lambda: [len(one.partitions()), *map(len, said[-1:])] == [PARTITIONS // 2] * 2)
    other.send_signal(fate)
    took = until("all comes back", shared(group, one))
    assert took < MOVED_S, took
    if fate is signal.SIGSTOP:
        other.send_signal(signal.SIGCONT)
        until("it comes back too", lambda: 0 < len(one.partitions()) < PARTITIONS)
