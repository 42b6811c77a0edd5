"""A small world for queries: a log, a table and servers in memory, and what every answer has to be."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pytest

from k2core.admission import Admission
from k2core.avro.codec import Codec
from k2core.config.settings import QuerySettings
from k2core.errors import QueryError
from k2core.interfaces.broker import Partition, TopicSpec
from k2core.interfaces.frames import ChannelFacts
from k2core.query.answer import Answer, RowsRequest
from k2core.query.cursor import Cursors
from k2core.query.service import QueryService
from k2core.query.tail import Tail
from k2core.records.builtin import TRADES
from k2core.records.topics import PARTITIONS, partition_of
from k2core.telemetry.metrics import Metrics
from k2core.testing.clock import ManualClock
from k2core.testing.memory_log import MemoryLog
from k2core.testing.memory_table import MemoryTable

EXCHANGES = {"BTCUSDT": "binance", "ETHUSDT": "binance", "SOLUSDT": "acme", "AB/USD": "acme"}
SYMBOLS = tuple(EXCHANGES)
TOPICS = ["market.crypto.trades.acme", "market.crypto.trades.binance"]
START_MS = 1_700_000_000_000
SETTINGS = QuerySettings(tail_minutes=0.1, wait_s=0).model_copy(update={"tail_bytes": 6000})


@dataclass(frozen=True)
class Written:
    place: Partition
    offset: int
    identity: tuple[str, str]
    ms: int
    bad: bool
    at_us: int

    @property
    def key(self):
        return self.ms, *self.place, self.offset


class World:
    """One log, one table, two servers; `define` is the meaning of an answer."""

    def __init__(self, kind="contiguous", settings=SETTINGS):
        self.clock, self.metrics = ManualClock(START_MS * 1_000_000), Metrics()
        self.log, self.table = MemoryLog(self.clock), MemoryTable(TRADES, kind)
        self.log.ensure_topics(
            [TopicSpec(name=n, partitions=PARTITIONS, subject=f"{n}-value", schemas=()) for n in TOPICS]
        )
        self.admission = Admission(TRADES, dict.fromkeys(EXCHANGES.values(), ChannelFacts(ids=kind)))
        self.codec, self.settings, self.kind = Codec(TRADES), settings, kind
        self.written: list[Written] = []
        self.times: dict[tuple[str, str], int] = {}
        self.happened: Counter[str] = Counter()
        self.servers = [self.serve(), self.serve()]
        self.settled: list[tuple[int, list]] = []

    def serve(self) -> QueryService:
        tail = Tail(TRADES, self.admission, self.log, self.table, TOPICS, self.settings, self.clock, self.metrics)
        tail.advance(0)
        cursors = Cursors(b"one installation's key")
        return QueryService(
            [TRADES], {"trades": self.table}, {"trades": tail}, self.log, self.settings, self.clock, cursors
        )

    def append(self, symbol: str, number: int, *, bad: bool = False, late_ms: int = 0) -> None:
        trade = str(number) if self.kind != "opaque" else f"t{number}"
        now = self.clock.now_ms()
        ms = self.times.setdefault((symbol, trade), now - late_ms)
        place = (f"market.crypto.trades.{EXCHANGES[symbol]}", partition_of(symbol))
        batch = pa.RecordBatch.from_pylist(
            [{"symbol": symbol, "exchange": EXCHANGES[symbol], "exchange_timestamp_ms": ms, "price": -1.0 if bad else 10.5,
              "quantity": float(number + 1), "side": "buy", "trade_id": trade,
              "received_timestamp_us": self.clock.now_us()}],
            TRADES.arrow_schema,
        )  # fmt: skip
        sizes, data = self.codec.encode(batch)
        block = self.log.append(place, 3, sizes.tolist(), data)
        self.written.append(Written(place, block.first_offset, (symbol, trade), ms, bad, block.timestamp_us))

    def define(self, ends, as_of_us=None) -> list[tuple]:
        """Keys of the answer below H, oldest first: the log's prefix, no dead letters, first copies."""
        seen, found = set(), []
        for w in sorted(self.written, key=lambda w: w.offset):
            if w.bad or w.offset >= ends.get(w.place, 0) or (w.place, w.identity) in seen:
                continue
            seen.add((w.place, w.identity))
            if as_of_us is None or w.at_us <= as_of_us:
                found.append(w.key)
        return sorted(found)

    def commit(self, most: int) -> None:
        """What a writer does: the log's next records of every partition, first copies only, in one step."""
        if not self.written:
            return
        offsets = dict(self.table.newest().offsets)
        consumer = self.log.consumer(TOPICS)
        consumer.seek(offsets)
        admitted = self.admission.admit(consumer.poll(1 << 30, 0))
        first = {key[1:] for key in self.define(self.log.ends(TOPICS))}
        rows = []
        for part in admitted.parts:
            offsets[part.partition] = end = min(part.next_offset, part.first_offset + most)
            own = admitted.rows.slice(part.start, part.stop - part.start).to_pylist()
            rows += [r for r in own if r["log_offset"] < end and (*part.partition, r["log_offset"]) in first]
        self.table.commit(rows, offsets)

    def rollback(self, steps: int) -> None:
        line = self.table.ancestors()
        if len(line) > 1:
            target = line[min(steps, len(line) - 1)]
            if self.table._snapshots[target].extra is not None:
                self.table.rollback(target)

    def advance(self, server: int, records: int) -> None:
        self.log.at_once = records
        self.servers[server].tails["trades"].advance(0)
        self.log.at_once = 1 << 30

    def keys(self, answer: Answer) -> list[tuple]:
        rows = answer.rows
        names = ("exchange_timestamp_ms", "topic", "log_partition", "log_offset")
        return list(zip(*(rows.column(n).to_pylist() for n in names), strict=True))

    def page(self, server: int, **words) -> Answer:
        answer = self.servers[server].rows("trades", RowsRequest(**words))
        self.happened["answers"] += 1
        self.happened["holes"] += "hole_records" in answer.explain
        self.happened["cold"] += answer.explain["cold_rows"] > 0
        self.happened["reproducible"] += "as_of_us" in words and answer.reproducible
        self.happened["rebuilt"] += self.servers[server].tails["trades"].rebuilt > 0
        return answer

    def check(self, server: int, limit: int = 1000, *, descending: bool = True) -> None:
        """One answer, page after page, is exactly what it means."""
        answer = self.page(server, limit=limit, descending=descending)
        pin, got = answer.pin, self.keys(answer)
        while answer.next_cursor:
            answer = self.page(server, limit=limit, cursor=answer.next_cursor)
            got += self.keys(answer)
            assert len(got) <= len(self.written), "pages repeat rows"
        assert answer.complete, answer.missing
        want = self.define(pin)
        assert got == (want[::-1] if descending else want)


def play(world: World, g: random.Random, steps: int) -> None:
    """Let things happen in a seeded order, and check answers in between."""
    moves = [world.some_append] * 8 + [world.some_commit] * 2 + [world.some_advance] * 5 + [world.some_query] * 4
    moves += [world.some_page] * 4 + [world.some_time] * 3 + [world.some_trouble] * 2 + [world.some_as_of] * 2
    for _ in range(steps):
        g.choice(moves)(g)


class Busy(World):
    """A world in which things happen by chance."""

    def __init__(self, kind="contiguous", settings=SETTINGS):
        super().__init__(kind, settings)
        self.number = 0
        self.late: list[int] = []
        self.open_pages: list[tuple[dict, list, str, int, bool]] = []

    def some_append(self, g):
        for _ in range(g.randint(1, 6)):
            symbol, kind = g.choice(SYMBOLS), g.random()
            if kind < 0.6:
                self.number += 1
                if g.random() < 0.15:
                    self.late.append(self.number)
                    continue
                self.append(symbol, self.number, bad=g.random() < 0.08, late_ms=g.choice((0, 0, 0, 40, 30_000)))
            elif kind < 0.75 and self.late:
                self.append(symbol, self.late.pop(g.randrange(len(self.late))), late_ms=g.choice((0, 5000)))
            elif self.times:
                symbol, trade = g.choice(list(self.times))
                self.append(symbol, int(trade.lstrip("t")), bad=g.random() < 0.05)

    def some_commit(self, g):
        self.commit(g.randint(0, 12))

    def some_advance(self, g):
        self.advance(g.randrange(2), g.choice((1, 3, 1000)))

    def some_time(self, g):
        self.clock.advance(g.choice((0.002, 0.3, 2, 15)))

    def some_trouble(self, g):
        kind = g.randrange(5)
        if kind == 0 and self.table.newest().id is not None:
            self.table.compact()
        elif kind == 1:
            self.table.expire(g.randint(1, 3))
        elif kind == 2:
            self.servers[g.randrange(2)] = self.serve()
        elif kind == 3:
            self.rollback(g.randint(1, 4))
        else:
            self.commit(1000)

    def some_query(self, g):
        server = g.randrange(2)
        if self.ready(server):
            self.check(server, g.choice((1, 2, 5, 1000)), descending=g.random() < 0.7)

    def some_page(self, g):
        """The next page of an answer that began long ago, at any server; or the first of another."""
        server = g.randrange(2)
        if not self.ready(server):
            return
        if not self.open_pages or g.random() < 0.3:
            down = g.random() < 0.6
            answer = self.page(server, limit=2, descending=down)
            pin, got = answer.pin, []
        else:
            pin, got, cursor, _, down = self.open_pages.pop(g.randrange(len(self.open_pages)))
            try:
                answer = self.page(server, limit=g.randint(1, 9), cursor=cursor)
            except QueryError as error:
                assert error.kind == "behind", error  # noqa: PT017
                self.open_pages.append((pin, got, cursor, 0, down))
                return
        got = got + self.keys(answer)
        want = self.define(pin)[:: -1 if down else 1]
        assert answer.complete, answer.missing
        assert got == want[: len(got)], "pages lose or repeat rows"
        assert answer.next_cursor or got == want, "pages end too early"
        if answer.next_cursor:
            self.open_pages.append((pin, got, answer.next_cursor, 0, down))

    def some_as_of(self, g):
        server = g.randrange(2)
        if not self.ready(server):
            return
        if self.settled and g.random() < 0.5:
            at, want = g.choice(self.settled)
        else:
            at, want = self.clock.now_us() - g.choice((0, 1, 2000, 400_000, 3_000_000)), None
        answer = self.page(server, as_of_us=at, limit=100_000)
        if answer.reproducible:
            assert want is None or self.keys(answer) == want, f"as_of {at} changed"
            self.settled.append((at, self.keys(answer)))
            assert self.keys(answer) == self.define(self.log.ends(TOPICS), at)[::-1]

    def ready(self, server: int) -> bool:
        """A tail on a snapshot that was rolled back refuses until it has been built anew."""
        tail = self.servers[server].tails["trades"]
        if not tail.follower.alive():
            with pytest.raises(QueryError, match="rebuilt"):
                self.page(server)
            tail.advance(0)
        return True


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def worlds():
    """Plays the world of a seed; returns how many answers were checked, holes and tails built anew among them."""

    def run(seed: int, steps: int = 120) -> Counter[str]:
        g = random.Random(seed)
        world = Busy(g.choice(("contiguous", "increasing", "opaque")))
        play(world, g, steps)
        return world.happened

    return run


@pytest.fixture(scope="session")
def busy_world():
    return Busy
