"""Everything at random on a real Redis: every answer of every claim is compared with a set of what is stored.

`K2_SEED` repeats a run; the long variant takes more steps.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis_world as world
from redis import Redis as Client

from k2core.plugin import DedupError
from k2core.testing import ManualClock
from k2core.testing.conformance.dedup_world import PLACE, START_NS, KnownTable
from tests.services.redis import Redis
from tests.services.running import running

STEPS = 2000 if os.environ.get("K2_LONG") else 250


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    redis = Redis(tmp_path_factory.mktemp("redis-storm"))
    with running(redis):
        yield redis


class Storm:
    """One table, its owner, an owner of before that is not dead, and a Redis to which things happen."""

    def __init__(self, server: Redis, kind: Any, dice: random.Random) -> None:
        self.server, self.kind, self.dice = server, kind, dice
        self.table, self.clock = KnownTable(), ManualClock(START_NS)
        self.highest, self.flight = 100, list[Any]()
        self.dump: dict[bytes, bytes] = {}
        self.zombie = self.owner = self.start()

    def start(self) -> Any:
        return world.Writer(
            self.server.url, self.table, self.kind, clock=self.clock, window_hours=2, rebuild_minutes=20,
            offset=self.committed, timeout_ms=500, chunk_ids=self.dice.choice([3, 8192]),
        )  # fmt: skip

    def stored(self) -> set[str]:
        return {str(i) for batch in (*self.table.stored, *self.flight) for i in batch.ids.tolist()}

    def claim(self) -> None:
        dice, ids = self.dice, list[int]()
        for _ in range(dice.randrange(1, 12)):
            if dice.random() < 0.5:
                self.highest += dice.choice([1, 1, 1, 2, 5000])
                ids.append(self.highest)
            else:  # a copy of any age, or one that was passed over
                ids.append(max(1, self.highest - int(dice.expovariate(0.02))))
        batch, known = self.owner.batch(ids), self.stored()
        wanted = []
        for one in batch.ids.tolist():
            wanted.append(str(one) not in known)
            known.add(str(one))
        new = self.owner.store.claim(batch)
        assert new.tolist() == wanted
        self.flight.append(batch.where(new))
        self.owner.offset += len(ids)

    def commit(self, *, settle: bool = True) -> None:
        self.table.stored += [batch for batch in self.flight if len(batch)]
        self.flight = []
        first = self.owner.pending[-1][1] if self.owner.pending else self.committed
        self.owner.pending.append((first, self.owner.offset))
        self.committed = self.owner.offset
        if settle:
            self.owner.settle()

    committed = 0

    def abandon(self) -> None:
        self.owner.store.abandon(PLACE, self.committed)
        self.flight, self.owner.offset = [], self.committed

    def takeover(self) -> None:
        """A new owner starts from the table; the old one lives on, and does what it likes."""
        if self.dice.random() < 0.5:
            self.commit(settle=False)
        if self.zombie is not self.owner:
            self.zombie.store.close()
        self.flight, self.zombie = [], self.owner
        self.owner = self.start()

    def haunt(self) -> None:
        """Its answers count for nothing; what it does to Redis must not count either."""
        if self.zombie is self.owner:
            return
        with contextlib.suppress(DedupError):
            self.zombie.store.claim(self.zombie.batch([self.highest + 3, 1, self.highest + 4]))
        self.zombie.store.abandon(PLACE, self.zombie.offset)
        self.zombie.settle()  # what landed before it was fenced
        self.zombie.store.evict(self.clock.now_us())

    def roll_back(self) -> None:
        """The table goes back to an earlier commit."""
        keep = self.dice.randrange(len(self.table.stored) + 1)
        self.table.stored = self.table.stored[:keep]
        self.committed = max((int(b.offsets.max()) + 1 for b in self.table.stored), default=0)
        self.flight, self.owner.pending, self.owner.offset = [], [], self.committed
        self.owner.store.assign(PLACE, self.committed, self.table)
        self.dump = {}  # the same log gives the same rows again; here it gives others
        if self.zombie is not self.owner:
            self.zombie.store.close()
        self.zombie = self.owner  # an owner of before would be fenced by the table: it may not tell Redis of other rows

    def age(self) -> None:
        self.clock.advance(self.dice.choice([1, 60, 1200, 7200]))
        self.owner.store.evict(self.clock.now_us())

    def restart(self) -> None:
        self.server.kill()
        if self.dice.random() < 0.5:
            self.claim()
            self.commit()
        self.server.start()

    def freeze(self) -> None:
        with self.server.frozen():
            self.claim()
            self.commit()

    def hurt(self) -> None:
        with Client.from_url(self.server.url) as client:
            match self.dice.randrange(5):
                case 0:
                    client.flushall()
                case 1:
                    client.config_set("maxmemory", self.dice.choice([0, 1]))
                case 2:
                    self.dump = world.save(self.server.url, "sink") if self.dice.random() < 0.5 else {}
                case 3 if self.dump:
                    client.config_set("maxmemory", 0)
                    world.restore(self.server.url, "sink", self.dump)
                case _:
                    keys = sorted(client.scan_iter("k2:sink:*"))
                    client.delete(*self.dice.sample(keys, min(len(keys), 1)) or ["none"])

    def calm(self) -> None:
        """Nothing happens any more; a busy machine may still be slow once or twice."""
        with Client.from_url(self.server.url) as client:
            client.config_set("maxmemory", 0)
        for turn in range(20):
            self.clock.advance(120)
            self.claim()
            self.commit()
            if turn and not self.owner.degraded:
                break


@pytest.mark.parametrize("kind", ["contiguous", "increasing", "opaque"])
def test_no_answer_is_ever_wrong(server: Redis, kind: Any) -> None:
    seed = int(os.environ.get("K2_SEED", time.time_ns() % 1_000_000))
    print(f"repeat with K2_SEED={seed}")
    with Client.from_url(server.url) as client:
        client.flushall()
        client.config_set("maxmemory", 0)
    storm = Storm(server, kind, random.Random(seed))
    acts = {
        storm.claim: 50, storm.commit: 25, storm.age: 8, storm.hurt: 6, storm.takeover: 3, storm.haunt: 3,
        storm.abandon: 2, storm.roll_back: 1, storm.restart: 1, storm.freeze: 1,
    }  # fmt: skip
    for act in storm.dice.choices(list(acts), list(acts.values()), k=STEPS):
        act()
    assert storm.table.asked > 0
    storm.calm()
    assert not storm.owner.degraded, "all is well with Redis, and it is not used"
    for writer in {storm.owner, storm.zombie}:
        writer.store.close()
