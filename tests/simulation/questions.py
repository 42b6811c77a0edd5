"""What a world asks its servers, and what the answers have to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from k2core.errors import QueryError
from k2core.query.answer import Answer, RowsRequest
from tests.simulation.exchange import SYMBOLS
from tests.simulation.oracle import Key, WrongError
from tests.simulation.shedding import check_missing

if TYPE_CHECKING:
    from tests.simulation.actors import Server
    from tests.simulation.world import World

KEY = ("exchange_timestamp_ms", "topic", "log_partition", "log_offset")
REFUSALS = ("starting", "rebuilding", "behind", "away", "snapshot-gone")
"""Kinds of refusal that are right now and then."""
MOST = 100_000


@dataclass
class Reading:
    """A cursor that somebody is half-way through."""

    symbols: tuple[str, ...] | None
    down: bool
    got: list[Key]
    cursor: str


class Questions:
    """Asks, and compares."""

    def __init__(self, world: World) -> None:
        self.world, self.dice, self.told = world, world.dice, world.told
        self.readings: list[Reading] = []
        self.settled: list[tuple[int, list[Key]]] = []

    def whole(self) -> None:
        """Everything, or some symbols, or an older snapshot, in one answer."""
        symbols = self.dice.choice((None, None, (SYMBOLS[0],), SYMBOLS[1:]))
        down, snapshot = self.dice.random() < 0.7, None
        if self.dice.random() < 0.15:
            snapshot = self.dice.choice([*self.world.lake.ancestors()[:6], None])
        answer = self._ask(self._server(), symbols=symbols, descending=down, limit=MOST, snapshot_id=snapshot)
        if answer is not None:
            self._check(answer, self._define(answer, symbols=symbols), "answer", down, symbols)

    def page(self) -> None:
        """The next page of a cursor at any server, or the first of another."""
        limit, down, symbols = self.dice.randint(1, 7), self.dice.random() < 0.6, None
        reading = self.dice.choice(self.readings) if self.readings and self.dice.random() < 0.75 else None
        if reading is not None:
            answer = self._ask(self._server(), limit=limit, cursor=reading.cursor)
        else:
            symbols = self.dice.choice((None, SYMBOLS[:2]))
            answer = self._ask(self._server(), limit=limit, descending=down, symbols=symbols)
        if answer is None:
            return
        if reading is None:
            self.readings.append(reading := Reading(symbols, down, [], ""))
        self._turn(reading, answer)

    def _turn(self, reading: Reading, answer: Answer) -> None:
        done, sign, got = answer.next_cursor is None, -1 if reading.down else 1, keys(answer)
        self._complete(answer, reading.symbols, full=reading.down and not done)
        self.told["pages"] += 1
        last = reading.got[-1] if reading.got else None
        wanted = [
            key
            for key in self._define(answer, symbols=reading.symbols)[::sign]
            if last is None or (key < last if reading.down else key > last)
        ]  # what was shed since the last page is not in this one
        self.world.oracle.check_answer(got, wanted if done else wanted[: len(got)], "pages of one cursor")
        reading.got += got
        if done:
            self.told["cursors read to the end"] += 1
            self.readings.remove(reading)
        reading.cursor = answer.next_cursor or ""

    def as_of(self) -> None:
        """What was known at a time; once it is settled, for ever."""
        world = self.world
        past, wanted = world.clock.now_us(), None
        if self.settled and self.dice.random() < 0.5:
            past, wanted = self.dice.choice(self.settled)
        else:
            past -= self.dice.choice((0, 0, 0, 1, 1000, 300_000, 3_000_000))
        answer = self._ask(self._server(), as_of_us=past, limit=MOST)
        if answer is None or not answer.reproducible:
            self.told["as_of at an open time"] += answer is not None
            return
        self.told["as_of"] += 1
        self._check(answer, self._define(answer, past), "as_of", as_of_us=past)
        if wanted is not None and answer.complete:
            world.oracle.check_answer(keys(answer), wanted, f"as_of {past} asked again")
        if answer.complete:
            self.settled.append((past, keys(answer)))

    def count(self) -> None:
        """Symbols and bars count the same rows as an answer has."""
        server, name = self._server(), self.world.data_type.name
        answer = self._asked(server, lambda: server.service.symbols(name, RowsRequest()))
        if answer is not None:
            self._complete(answer)
            told = {row["symbol"]: row["rows"] for row in answer.rows.to_pylist()}
            rows = {s: len(self._define(answer, symbols=(s,))) for s in SYMBOLS}
            if told != {s: n for s, n in rows.items() if n}:
                raise WrongError(f"symbols: {told}, wanted {rows}")
        if name == "trades":
            answer = self._asked(server, lambda: server.service.ohlcv(RowsRequest(), 3_600_000))
            if answer is not None:
                self._complete(answer)
                bars, wanted = sum(answer.rows.column("trades").to_pylist()), len(self._define(answer))
                if bars != wanted:
                    raise WrongError(f"bars of {bars} trades, wanted {wanted}")

    def finish(self) -> None:
        """Every server, old ones too, comes to the same answer; every cursor ends; every settled time stands."""
        world = self.world
        ends = world.log.ends([world.topic])
        for server in world.servers:
            for _ in range(300):
                world.clock.advance(1)
                server.advance()
                view = server.tail.view
                if view.ends == ends and server.tail.follower.alive() and not view.undone(world.lake.newest()):
                    break
            answer = self._ask(server, limit=MOST)
            if answer is None or dict(answer.pin) != ends:
                raise WrongError(f"a server does not catch up: {answer and answer.pin} of {ends}")
            self._check(answer, self._define(answer), "last answer")
        self._finish_readings()
        for past, wanted in self.settled[-3:]:
            answer = self._ask(world.servers[1], as_of_us=past, limit=MOST)
            if answer is None:
                raise WrongError("as_of is refused in the end")
            if answer.complete:
                world.oracle.check_answer(keys(answer), wanted, f"as_of {past} in the end")

    def _finish_readings(self) -> None:
        while self.readings:
            reading = self.readings[0]
            answer = self._ask(self.world.servers[len(reading.got) % 2], limit=50, cursor=reading.cursor)
            if answer is None:
                raise WrongError("a cursor is refused in the end")
            self._turn(reading, answer)

    def _server(self) -> Server:
        return self.dice.choice(self.world.servers)

    def _ask(self, server: Server, **words: Any) -> Answer | None:
        name = self.world.data_type.name
        return self._asked(server, lambda: server.service.rows(name, RowsRequest(**words)))

    def _asked(self, server: Server, ask: Callable[[], Answer]) -> Answer | None:
        """An answer, or None where it was rightly refused."""
        if server.busy or server.asked:
            return None
        server.asked = True
        try:
            answer = ask()
        except QueryError as error:
            self.told[f"refused: {error.kind}"] += 1
            if error.kind not in REFUSALS:
                raise WrongError(f"refused: {error.kind}: {error}") from error
            return None
        finally:
            server.asked = False
        self.told["answers"] += 1
        self.told["holes read"] += "hole_records" in answer.explain
        self.told["cold"] += answer.explain.get("cold_rows", 0) > 0
        self.told["hot"] += answer.explain["tail_rows"] > 0
        self.world.note(f"answer {answer.rows.num_rows} {answer.snapshot_id} {sorted(answer.pin.items())}")
        return answer

    def _define(self, answer: Answer, as_of_us: int | None = None, symbols: Any = None) -> list[Key]:
        """What its pin and the shed ranges of its snapshot make of the log."""
        world = self.world
        return world.oracle.define(answer.pin, as_of_us, symbols, world.lake.shed_of[answer.snapshot_id])

    def _check(
        self,
        answer: Answer,
        wanted: list[Key],
        what: str,
        down: bool = True,
        symbols: tuple[str, ...] | None = None,
        as_of_us: int | None = None,
    ) -> None:
        self._complete(answer, symbols, as_of_us)
        self.world.oracle.check_answer(keys(answer), wanted[:: -1 if down else 1], what)

    def _complete(
        self, answer: Answer, symbols: tuple[str, ...] | None = None, as_of_us: int | None = None, *, full: bool = False
    ) -> None:
        check_missing(self.world, answer, symbols, as_of_us, full=full)


def keys(answer: Answer) -> list[Key]:
    """Places of the rows, in the answer's order."""
    return list(zip(*(answer.rows.column(name).to_pylist() for name in KEY), strict=True))
