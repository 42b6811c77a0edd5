"""A world: one exchange, one log, one table, any number of processes, one seeded scheduler, virtual time.

What runs is what the commands run: `FeedConnector` with `BinanceFeed` and `BinanceNormalizer`, `IngestPipeline`, `Lane`
with `WriterPipeline` and `MemoryStore`, `Tail`, `QueryService`. Exchanged are socket (`Exchange`), log (`SimLog`), table
(`Lake`) and clock. `tick` does one thing, chosen by the seed; at named points within it others go on (`meanwhile`).
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections import Counter
from dataclasses import dataclass

from k2_plugin_binance import FACTS

from k2core.admission import Admission
from k2core.avro.codec import Codec
from k2core.errors import FencedError, OffsetGoneError
from k2core.interfaces.broker import Offsets, TopicSpec
from k2core.interfaces.frames import ChannelFacts
from k2core.records.builtin import DEAD_LETTERS, QUOTES, TRADES
from k2core.records.data_type import DataType
from k2core.records.topics import PARTITIONS, Topic, partition_of
from k2core.testing.clock import ManualClock
from tests.simulation.actors import Server, Writer
from tests.simulation.capture import Capture
from tests.simulation.exchange import SYMBOLS, Exchange
from tests.simulation.log import SimLog
from tests.simulation.oracle import Oracle, WrongError
from tests.simulation.questions import Questions
from tests.simulation.shedding import Load
from tests.simulation.table import Lake

for name in ("k2.simulation", "k2.serve"):
    logging.getLogger(name).setLevel(logging.CRITICAL + 1)

CODECS = {d.name: Codec(d) for d in (TRADES, QUOTES, DEAD_LETTERS)}


@dataclass(frozen=True)
class Kind:
    """What ids and times are like."""

    data_type: DataType
    facts: ChannelFacts
    weight: int


KINDS = (
    Kind(TRADES, FACTS.channels["trades"], 4),
    Kind(TRADES, ChannelFacts(ids="increasing"), 1),
    Kind(TRADES, ChannelFacts(ids="opaque"), 2),
    Kind(QUOTES, FACTS.channels["quotes"], 2),
    Kind(QUOTES, ChannelFacts(ids="opaque", event_time="received"), 1),
)
ACTIONS = {
    "emit": 22, "capture": 20, "pass_time": 9, "write": 26, "follow": 14, "ask": 5, "page": 5, "as_of": 4, "count": 1,
    "cut": 1, "take_over": 1, "lose_one": 0.5, "kill_capture": 0.4, "skew": 1, "compact": 1, "roll_back": 1.5,
    "expire": 1, "retain": 2, "restart_server": 1, "arrive": 3, "backfill": 2, "press": 3,
}  # fmt: skip
BESIDE = ("emit", "capture", "write", "write", "write", "follow", "follow", "pass_time", "compact")
ODDS = {
    "kill": 0.003, "kill at commit": 0.02, "kill capture": 0.005, "fail": 0.02, "fail at settle": 0.06,
    "lost reply": 0.06, "raced": 0.3,
    "meanwhile": 0.15, "within query": 0.25,
}  # fmt: skip


class World:
    """See above.

    Args:
        seed: Decides everything.
        told: Counts what happened.
    """

    def __init__(self, seed: int, told: Counter[str]) -> None:
        self.seed, self.told, self.dice = seed, told, random.Random(seed)
        kind = self.dice.choices(KINDS, [k.weight for k in KINDS])[0]
        self.data_type, self.facts = kind.data_type, kind.facts
        self.window_s = self.dice.choice((1, 8, 900))
        self.clock = ManualClock()
        self.topic = Topic("crypto", self.data_type.name, "binance").name
        channel = "@trade" if self.data_type is TRADES else "@bookTicker"
        self.exchange = Exchange(self.dice, self.clock, channel, kind.facts.ids == "contiguous", told)
        self.oracle = Oracle(self.data_type, self.topic, self.exchange)
        self.log = self.make_log(self.dice.choice((5, 60)))
        for topic in (self.topic, Topic("crypto", DEAD_LETTERS.name, "binance").name):
            self.log.ensure_topics([TopicSpec(name=topic, partitions=PARTITIONS, subject=f"{topic}-value", schemas=())])
        self.codecs = CODECS
        self.admission = Admission(self.data_type, {"binance": self.facts})
        self.lake = Lake(self.data_type, self.facts.ids, self.facts.event_time)
        self.odds = dict(ODDS)
        self.calm = self.nested = False
        self.captures: list[Capture] = []
        self.writers: list[Writer] = []
        self.servers: list[Server] = [Server(self), Server(self)]
        self.questions = Questions(self)
        self.load = Load(self)
        self._made, self._trace = 0, hashlib.sha256()
        self._checked: int | None = None
        for start in ("capture",) * 6 + ("follow",) * 4:
            self.happen(start)

    def make_log(self, slack_s: float) -> SimLog:
        return SimLog(self.clock, self.oracle.appended, self._released, slack_s)

    # ---- the scheduler

    def tick(self) -> None:
        """One thing happens."""
        self.happen(self.dice.choices(list(ACTIONS), list(ACTIONS.values()))[0])

    def meanwhile(self) -> None:
        """While one process is in the middle of something, others go on."""
        if self.nested:
            return
        self.nested = True
        try:
            for _ in range(self.dice.randint(1, 6)):
                self.happen(self.dice.choice(BESIDE))
        finally:
            self.nested = False
            self.told["meanwhile"] += 1

    def happen(self, action: str) -> None:
        self.note(action)
        getattr(self, action)()
        newest = self.lake.newest()
        if newest.id != self._checked:
            self._checked = newest.id
            self.note(f"table {newest.id} {sorted(newest.offsets.items())}")
            self.oracle.check_table(newest.extra, newest.offsets, newest.shed)

    def note(self, what: str) -> None:
        """A line of the trace."""
        self._trace.update(f"{'  ' * self.nested}{self.clock.now_us()} {what}\n".encode())

    @property
    def trace(self) -> str:
        """A hash of all that happened so far, in order."""
        return self._trace.hexdigest()

    def chance(self, name: str) -> bool:
        return self.dice.random() < self.odds[name]

    def _released(self, offsets: Offsets) -> None:
        self.oracle.check_release(offsets, self.lake.newest().offsets)

    # ---- what happens

    def emit(self) -> None:
        self.exchange.emit()

    def capture(self) -> None:
        if not self.captures:
            self.captures.append(Capture(self))
        if not self.captures[0].busy:
            self.captures[0].turn()

    def pass_time(self) -> None:
        seconds = self.dice.choices((0.001, 0.02, 0.3, 1.5, 12, 7200), (6, 10, 10, 6, 2, 0.3))[0]
        self.told["hours passed"] += seconds > 3600
        self.clock.advance(seconds)

    def write(self) -> None:
        idle = [w for w in self.writers[-3:] if not w.busy]
        if not self.writers:
            self.start_writer()
        elif idle:
            # Mostly the newest; one that is not chosen for long is a frozen one that wakes up.
            self.move(idle[-1] if self.dice.random() < 0.8 else self.dice.choice(idle))

    def move(self, writer: Writer) -> None:
        if not writer.move():
            self.writers.remove(writer)

    def start_writer(self) -> None:
        self._made += 1
        self.writers.append(Writer(self, self._made))

    def ended(self, writer: Writer) -> bool:
        """A writer gave up: fenced, or away for too long; always False."""
        error = writer.lane.error
        self.told[f"writer ended: {type(error).__name__}"] += 1
        newest = not any(w.number > writer.number and w.lane.pipeline.started for w in self.writers)
        owned = any(token.startswith(f"writer {writer.number}/") for token in self.lake.tokens.values())
        if isinstance(error, OffsetGoneError) and owned and newest:
            raise WrongError(f"retention removed what the writer needs: {error}")
        if not isinstance(error, FencedError | OffsetGoneError):
            raise error or WrongError("a writer ended without a reason")
        return False

    def follow(self) -> None:
        idle = [s for s in self.servers if not s.busy]
        if idle:
            self.dice.choice(idle).advance()

    def ask(self) -> None:
        self.questions.whole()

    def page(self) -> None:
        self.questions.page()

    def as_of(self) -> None:
        self.questions.as_of()

    def count(self) -> None:
        self.questions.count()

    def cut(self) -> None:
        self.told["cut"] += self.exchange.cut()

    def take_over(self) -> None:
        self.told["taken over"] += bool(self.writers)
        self.start_writer()

    def lose_one(self) -> None:
        """Somebody takes one partition over and commits nothing."""
        self.told["one partition lost"] += 1
        self.lake.take(frozenset({(self.topic, partition_of(self.dice.choice(SYMBOLS)))}), "foreign")

    def kill_capture(self) -> None:
        if self.captures:
            self.told["capture killed"] += 1
            self.captures[0].drop()

    def skew(self) -> None:
        """The capturing machine's clock is a month ahead for a while: what it stamps is refused later on."""
        if self.captures and self.facts.event_time == "received":
            self.captures[0].clock.off_s = self.dice.choice((0, 30 * 86_400))

    def compact(self) -> None:
        if self.lake.newest().id is not None:
            self.told["compacted"] += 1
            self.lake.compact()

    def roll_back(self) -> None:
        """Within the time that the log keeps what was released; whoever does it does it knowingly."""
        older = self.lake.older(self.log.starts([self.topic]))
        if older:
            self.told["rolled back"] += 1
            self.lake.rollback(self.dice.choice(older[:5]))
            self.log.unrelease()

    def expire(self) -> None:
        self.told["expired"] += 1
        self.lake.expire(self.dice.randint(1, 4))

    def retain(self) -> None:
        self.told["retained"] += self.log.retain() > 0

    def restart_server(self) -> None:
        at = self.dice.randrange(2)
        if not self.servers[at].busy:
            self.told["server restarted"] += 1
            self.servers[at].tail.close()
            self.servers[at] = Server(self)

    def press(self) -> None:
        self.load.turn()

    def backfill(self) -> None:
        self.load.backfill()

    def arrive(self) -> None:
        if self.lake.on_the_way:
            self.told["landed long after"] += self.lake.arrive()
