"""Random worlds for the writer: kills at every step, takeovers, frozen writers, lost replies, rollbacks, late ids.

The same seed gives the same world. `run(seed)` raises `AssertionError` where the table is not what the log's prefix
means; `Told` counts what happened, so that a run in which a fault never fired can be told from a good one.
"""

from __future__ import annotations

import random
from collections import Counter

from k2_plugin_memory.store import MemoryStore

from k2core.config.settings import WriterSettings
from k2core.errors import CommitUnknownError, DedupError, FencedError, K2Error, LogFullError, SinkError
from k2core.interfaces.frames import ChannelFacts
from k2core.interfaces.sink import Ownership
from k2core.writer.pipeline import WriterPipeline
from tests.unit.writer.writer_world import TOPIC, WriterWorld, trade

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
KINDS = (
    ChannelFacts(ids="contiguous"),
    ChannelFacts(ids="increasing"),
    ChannelFacts(ids="opaque"),
    ChannelFacts(ids="opaque", event_time="received"),
)
SETTINGS = WriterSettings(commit_rows=8, poll_records=4)


class Killed(BaseException):
    """`kill -9`: no code of the writer may catch it."""


class FaultyStore(MemoryStore):
    """Asks `fault` before each call that may fail."""

    fault = staticmethod(lambda name: None)

    def claim(self, batch):
        self.fault("claim")
        return super().claim(batch)

    def settle(self, partition, first_offset, next_offset):
        self.fault("settle")
        super().settle(partition, first_offset, next_offset)


class ProtocolWorld:
    def __init__(self, seed: int, told: Counter[str]) -> None:
        self.dice, self.told = random.Random(seed), told
        self.facts = self.dice.choice(KINDS)
        self.form = self.dice.choice(["{}", "{}", "t{}"]) if self.facts.ids == "opaque" else "{}"
        window_s = self.dice.choice([0.5, 4, 3600])
        self.world = WriterWorld(self.facts, window_s, settings=SETTINGS, store_class=FaultyStore)
        self.world.log.fault = self.fault
        self.writers: list[WriterPipeline] = []
        self.seen: object = None
        self.next_id = dict.fromkeys(SYMBOLS, 1)
        self.late: list[tuple[str, int]] = []
        self.times: dict[tuple[str, str], int] = {}
        self.calm = False

    # ---- what is captured

    def append(self) -> None:
        records, symbol = [], self.dice.choice(SYMBOLS)
        for _ in range(self.dice.randint(1, 3)):
            records.append(self.record(symbol))
        self.world.append(*records)

    def record(self, symbol: str) -> dict[str, object]:
        dice, number = self.dice, self.next_id[symbol]
        chance = dice.random()
        mine = [n for s, n in self.late if s == symbol]
        if chance < 0.25 and number > 1:
            number = dice.randrange(1, number)  # a copy of any age, or one that was held back
            self.told["again"] += 1
        elif chance < 0.35 and mine:
            number = dice.choice(mine)
            self.late.remove((symbol, number))
            self.told["late"] += 1
        else:
            if chance > 0.85:
                self.late.append((symbol, number))
                number += 1
            self.next_id[symbol] = number + 1
        text = self.form.format(number)
        if self.facts.ids != "contiguous" and number % 7 == 0:
            text = f"x{number}"  # not every id of the stream is a number
        now = self.world.clock.us // 1000
        own = self.times.setdefault((symbol, text), now) if self.facts.event_time == "exchange" else now
        bad = dice.random() < 0.06
        self.told["dead"] += bad
        return trade(symbol, text, own, **({"price": -1.0} if bad else {}))

    # ---- what goes wrong

    def fault(self, name: str) -> None:
        """Fails or kills now and then, at any call into log, table or store."""
        if self.calm:
            return
        chance = self.dice.random()
        if name == "reply" and chance < 0.10:
            self.told["landed, reply lost"] += 1
            raise CommitUnknownError("the reply was lost")
        if name == "swap" and chance < 0.06:
            self.told["not landed, reply lost"] += 1
            raise CommitUnknownError("nothing was heard")
        if chance > 0.985:
            self.told[f"killed at {name}"] += 1
            raise Killed
        if chance > 0.93:
            self.fail(name)

    def fail(self, name: str) -> None:
        failures: dict[str, K2Error] = {
            "head": SinkError("catalog away"), "stage": SinkError("disk away"), "discard": SinkError("disk away"),
            "look-up": SinkError("catalog away"), "settle": DedupError("store away"), "marks": SinkError("away"),
            "claim": DedupError("store away"), "produce": LogFullError("full"), "take-over": SinkError("away"),
        }  # fmt: skip
        if name in failures:
            self.told[f"failed at {name}"] += 1
            raise failures[name]

    # ---- what happens

    def tick(self) -> None:
        dice = self.dice
        chance = dice.random()
        if chance < 0.3:
            self.append()
        elif chance < 0.4:
            self.world.clock.us += dice.choice([1000, 300_000, 2_000_000])
        elif chance < 0.88 and self.writers:
            # Any of them: one that is not chosen for long is a frozen one that wakes up.
            self.move(dice.choice(self.writers[-2:]))
        elif chance < 0.92 or not self.writers:
            self.told["taken over"] += 1
            self.writers.append(self.world.writer(self.fault))
        elif chance < 0.935:
            self.foreign()
        elif chance < 0.96:
            self.told["landed long after"] += self.world.table.arrive()
        elif chance < 0.975:
            self.told["rolled back"] += 1
            self.world.table.roll_back()
        state = self.world.table.main, str(self.world.log.released)
        if self.seen != state:
            self.seen = state
            self.world.check()

    def move(self, writer: WriterPipeline) -> None:
        try:
            if not writer.started:
                writer.start()
            elif self.dice.random() < 0.6:
                writer.step(0)
            else:
                self.told["commits"] += writer.commit()
        except FencedError:
            self.told["fenced"] += 1
            self.writers.remove(writer)
        except Killed:
            self.writers.remove(writer)
        except K2Error:
            self.told["tried again"] += 1

    def foreign(self) -> None:
        """Somebody takes one partition over and commits nothing."""
        table, place = self.world.table, (TOPIC, self.dice.randrange(2))
        self.told["one partition lost"] += 1
        table.takings += 1
        table.tokens[place] = f"foreign/{table.takings}"
        table.swap([], Ownership(table.tokens[place], frozenset([place])), table.offsets, {})


def run(seed: int, told: Counter[str], steps: int = 120) -> None:
    """Live one world, then let a last writer finish it in peace."""
    world = ProtocolWorld(seed, told)
    for _ in range(steps):
        world.tick()
    world.calm = True
    for writer in world.writers[-2:]:
        world.move(writer)
    world.world.finish(world.world.writer())
    world.world.check()
    ends = world.world.log.ends([TOPIC])
    assert dict(world.world.table.main.offsets) == ends, "not everything was read"
