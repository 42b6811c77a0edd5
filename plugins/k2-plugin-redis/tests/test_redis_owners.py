"""Several processes with one Redis: partitions of their own, taken over from one another, also from one that is frozen.

The parent is the table: it takes a commit only from the owner that it knows, as the fence does. `K2_SEED` repeats the
choices of a run.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis as Client

from tests.services.fixtures import Address
from tests.services.process import die_with_parent

ROOT = pathlib.Path(__file__).parents[3]
PARTITIONS, PROCESSES = 6, 3
ROUNDS = 400 if os.environ.get("K2_LONG") else 120


class Process:
    """One of the processes; a line at a time."""

    def __init__(self, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(pathlib.Path(__file__).with_name("redis_owner.py")), url], text=True, cwd=ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=die_with_parent,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def tell(self, act: str, partition: int, **more: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"act": act, "partition": partition, **more}) + "\n")
        self.process.stdin.flush()

    def heard(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the process ended"
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, act: str, partition: int, **more: Any) -> dict[str, Any]:
        self.tell(act, partition, **more)
        return self.heard()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self.thaw()
        self.process.kill()
        self.process.communicate()


class Table:
    """What is stored of one partition, and by whom it may be written."""

    def __init__(self) -> None:
        self.stored: list[tuple[int, list[int]]] = []
        self.offset, self.owner = 0, -1

    def ids(self) -> list[int]:
        return [i for _, ids in self.stored for i in ids]

    def commit(self, owner: int, first: int, ids: Sequence[int], new: Sequence[bool]) -> bool:
        """Whether it landed."""
        if owner != self.owner or first != self.offset:
            return False
        kept = [(first + k, one) for k, (one, is_new) in enumerate(zip(ids, new, strict=True)) if is_new]
        self.stored += [(offset, [one]) for offset, one in kept]
        self.offset = first + len(ids)
        return True


@pytest.fixture(scope="module")
def started(redis_server: Address) -> Iterator[list[Process]]:
    with Client.from_url(redis_server.url) as client:
        for key in list(client.scan_iter("k2:sink:*")):
            client.delete(key)
    made = [Process(redis_server.url) for _ in range(PROCESSES)]
    yield made
    for one in made:
        one.end()


@pytest.fixture
def processes(started: list[Process]) -> Iterator[list[Process]]:
    """Every test takes partitions of its own."""
    yield started
    for one in started:
        one.thaw()


def written(
    one: Process, who: int, table: Table, partition: int, ids: Sequence[int], *, settle: bool = True
) -> list[bool]:
    first = table.offset
    new = one.ask("claim", partition, offset=first, ids=list(ids), stored=table.stored)["answer"]
    assert table.commit(who, first, ids, new)
    if settle:
        assert one.ask("settle", partition, first=first, next=table.offset) == {"answer": True}
    return list(new)


def take(one: Process, who: int, table: Table, partition: int) -> None:
    table.owner = who
    assert one.ask("assign", partition, offset=table.offset, stored=table.stored) == {"answer": True}


def test_a_frozen_owner_wakes_after_its_partition_was_taken(processes: list[Process]) -> None:
    old, new, _ = processes
    table = Table()
    take(old, 0, table, 7)
    assert written(old, 0, table, 7, [1, 2, 1]) == [True, True, False]
    written(old, 0, table, 7, [3, 4], settle=False)  # landed; frozen before Redis hears of it
    first = table.offset
    old.freeze()
    old.tell("settle", 7, first=first - 2, next=first)
    take(new, 1, table, 7)
    assert written(new, 1, table, 7, [4, 3, 5, 1]) == [False, False, True, False]
    old.thaw()
    assert "taken" in old.heard()["refused"], "its token is not the partition's any more"
    stale = old.ask("claim", 7, offset=first, ids=[5, 7, 1], stored=table.stored)
    assert stale["answer"][2] is False, "it answers, without Redis"
    assert not table.commit(0, first, [5, 7, 1], stale["answer"]), "and the table refuses its commit"
    old.ask("settle", 7, first=first, next=first + 3)
    for _ in range(5):
        time.sleep(0.03)  # longer than the breaker's longest pause
        old.ask("evict", 7)
    assert old.ask("degraded", 7)["answer"] == 1, "what the new owner settled is not its to clear"
    assert written(new, 1, table, 7, [7, 5, 8, 2]) == [True, False, True, False]
    assert new.ask("degraded", 7)["answer"] == 0
    assert sorted(table.ids()) == [1, 2, 3, 4, 5, 7, 8]
    assert old.ask("revoke", 7) == new.ask("revoke", 7) == {"answer": True}


def test_a_claim_of_a_frozen_owner_is_nobodys(processes: list[Process]) -> None:
    old, new, _ = processes
    table = Table()
    take(old, 0, table, 8)
    written(old, 0, table, 8, [1, 2])
    old.freeze()
    old.tell("claim", 8, offset=table.offset, ids=[3, 4], stored=table.stored)
    take(new, 1, table, 8)
    assert written(new, 1, table, 8, [3, 5]) == [True, True]
    old.thaw()
    assert not table.commit(0, 2, [3, 4], old.heard()["answer"])
    assert written(new, 1, table, 8, [4, 3, 5, 1]) == [True, False, False, False]
    assert new.ask("degraded", 8)["answer"] == 0
    assert sorted(table.ids()) == [1, 2, 3, 4, 5]


class Storm:
    """Partitions change hands at any moment; every answer of an owner is compared with what is stored."""

    def __init__(self, processes: list[Process], seed: int) -> None:
        self.processes, self.seed = processes, seed
        self.tables = [Table() for _ in range(PARTITIONS)]
        self.locks = [threading.RLock() for _ in range(PARTITIONS)]
        self.taken = self.fenced = 0
        self.ends = threading.Event()

    def run(self, who: int) -> None:
        """One process's life: takes what is nobody's or another's, writes, is frozen now and then."""
        dice, one, mine = random.Random(self.seed * 10 + who), self.processes[who], set[int]()
        for _ in range(ROUNDS):
            partition = dice.choice(sorted(mine)) if mine and dice.random() < 0.75 else dice.randrange(PARTITIONS)
            if partition not in mine:
                with self.locks[partition]:
                    take(one, who, self.tables[partition], partition)
                    self.taken += 1
                mine.add(partition)
            elif not self._write(one, who, partition, dice):
                one.ask("revoke", partition)
                mine.discard(partition)

    def _write(self, one: Process, who: int, partition: int, dice: random.Random) -> bool:
        table = self.tables[partition]
        with self.locks[partition]:
            first, stored, owned = table.offset, list(table.stored), table.owner == who
            known = set(table.ids())
            ids = [max(0, first + dice.randrange(-30, 20)) for _ in range(dice.randrange(1, 20))]
        asked = one.ask("claim", partition, offset=first, ids=ids, stored=stored)
        if dice.random() < 0.1:
            one.freeze()
            threading.Timer(0.15, one.thaw).start()
        with self.locks[partition]:  # what the fence does: nobody took it meanwhile, or the whole commit is dropped
            if not owned or not table.commit(who, first, ids, asked["answer"]):
                self.fenced += 1
                return False
        wanted, seen = [], known
        for i in ids:
            wanted.append(i not in seen)
            seen.add(i)
        assert asked["answer"] == wanted
        settled = one.ask("settle", partition, first=first, next=first + len(ids))
        return "refused" not in settled or "taken" in settled["refused"]


def test_partitions_change_hands_among_processes(processes: list[Process]) -> None:
    seed = int(os.environ.get("K2_SEED", time.time_ns() % 1_000_000))
    print(f"repeat with K2_SEED={seed}")
    storm = Storm(processes, seed)
    with ThreadPoolExecutor(PROCESSES) as pool:
        for done in [pool.submit(storm.run, who) for who in range(PROCESSES)]:
            done.result(120)
    assert storm.taken > PARTITIONS
    assert storm.fenced > 0
    for table in storm.tables:
        assert len(table.ids()) == len(set(table.ids()))
    assert sum(len(table.ids()) for table in storm.tables) > 100
