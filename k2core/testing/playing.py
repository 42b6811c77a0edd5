"""`TapeExchange`: a local exchange that plays a tape to whoever subscribes, and knows what it issued.

An author says how an event is spelled (`stream`, `render`) and what a frame means (`meaning`, the oracle); the rest is
here. Faults it plays on purpose: frames sent twice, malformed frames, bursts. Should every subscriber of a stream leave,
its frames pass unheard, as at the exchange, and do not count as issued.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Self

from k2core.clock import Clock, SystemClock
from k2core.testing import issued
from k2core.testing.dialect import Dialect
from k2core.testing.exchange import FakeExchange, ServerLimits
from k2core.testing.issued import Issued, Meaning
from k2core.testing.local import LocalExchange
from k2core.testing.tape import Event
from k2core.testing.tape_settings import TapeSettings
from k2core.testing.wording import broken_off

_BURST_S = 0.002


class _Frame(NamedTuple):
    """A bare payload on its way; `kind` is `sound`, `doubled` or `malformed`."""

    stream: str
    payload: bytes
    kind: str


class Recorded(NamedTuple):
    """A recorded frame on a tape.

    Args:
        at: Seconds after the tape's start.
        stream: The stream that carries it.
        payload: What `wrap` takes.
        sound: Whether it is a record; what was no frame when it was recorded is none now.
    """

    at: float
    stream: str
    payload: bytes
    sound: bool = True


class Placed(NamedTuple):
    """Where a recorded frame belongs: its stream, whose data it is, and what `wrap` takes."""

    stream: str
    data_type: str
    symbol: str
    payload: bytes


class TapeExchange(LocalExchange):
    """A local exchange with a tape.

    Args:
        settings: How the tape is played.
        dialect: The protocol it speaks; `speaks(symbols)` if it is left out.
        tape: Its events, each with `at` (seconds) and `sound`; those of `settings` if it is left out.
        limits: What it enforces; `enforces` if it is left out.
        clock: Time of the events.

    Attributes:
        name: The market's name in records.
        speaks: The protocol; made with the symbols.
        enforces: The exchange's limits.
        channels: By data type, what the exchange calls it.
        exchange: The server, for tests that want it to misbehave.
        counts: Frames sent so far: `sound`, `doubled` (sent a second time), `malformed`.
        clock: See there.
        noted: What was issued; a dialect notes data frames here that it sends by itself (`Dialect.memory.issue`).
    """

    name: ClassVar[str] = ""
    speaks: ClassVar[type[Dialect] | None] = None
    enforces: ClassVar[ServerLimits | None] = None
    channels: ClassVar[Mapping[str, str]] = {"trades": "trades", "quotes": "quotes"}

    def __init__(
        self,
        settings: TapeSettings,
        dialect: Dialect | None = None,
        tape: Sequence[Any] | None = None,
        *,
        limits: ServerLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._played = settings
        self.clock = clock or SystemClock()
        dialect = dialect or self._spoken(settings.symbols)
        self.exchange = FakeExchange(dialect, limits=limits or self.enforces, ledger=False, port=settings.port)
        self.counts: Counter[str] = Counter()
        self.noted = Issued(self.meaning)
        self._again: list[_Frame] = []
        self._sound = 0
        self._notes = True
        self._memory = dialect.memory
        self._memory.noted = self.noted
        self._tape: Iterable[Any] = self._behind(settings.tape() if tape is None else tape)

    def _behind(self, tape: Sequence[Any]) -> Sequence[Any]:
        """The tape without the events that happened before anybody could subscribe: the dialect remembers those."""
        most = self._played.before
        before = {n for n, event in enumerate(tape[:most]) if event.sound}
        for n in sorted(before):
            self._memory.keep(self.stream(tape[n]), self.render(tape[n], self.clock.now_ns() // 1000))
        return [event for n, event in enumerate(tape) if n not in before] if before else tape

    @classmethod
    def _spoken(cls, symbols: Sequence[str]) -> Dialect:
        if cls.speaks is None:
            raise TypeError(f"{cls.__name__} says no `speaks`, the protocol, and was given no dialect")
        return cls.speaks(symbols)

    def settings(self) -> dict[str, Any]:
        """Settings with which the connector reaches it; more, or others, where the connector needs them."""
        wanted = self._played.model_dump(include={"symbols", "data_types"})
        return {**wanted, "websocket_url": self.exchange.url, "rest_url": self.exchange.rest_url}

    def streams(self) -> set[str]:
        """Streams that must have a subscriber before the tape starts: of each symbol, each data type."""
        played = self._played
        return {self.stream(Event(0, kind, symbol, None)) for symbol in played.symbols for kind in played.data_types}

    def replays(self, tape: Iterable[Recorded]) -> None:
        """Play recorded frames as they are instead of the tape; `issued` knows nothing of them."""
        self._tape, self._notes = tape, False

    def placed(self, frame: bytes) -> Placed | None:
        """Where a frame belongs that a connector recorded; None for what is no market data.

        Override it where `wrap` changes frames.

        Raises:
            ValueError: It is no frame.
        """
        for data_type, record in self.meaning(frame):
            symbol = str(record["symbol"])
            return Placed(self.stream(Event(0.0, data_type, symbol, None)), data_type, symbol, frame)
        return None

    def stream(self, event: Any) -> str:
        """Name of the stream that carries an event: channel and symbol, as `trades:BTC-USD`."""
        return f"{self.channels[event.data_type]}:{event.symbol}"

    @abstractmethod
    def render(self, event: Any, now_us: int) -> bytes:
        """The frame of an event that happens now, Unix µs; the dialect's `wrap` comes later.

        One that is not sound is broken off behind this.
        """

    @abstractmethod
    def meaning(self, payload: bytes) -> Meaning:
        """The oracle: what a frame of `render` means, by data type, as record columns.

        Reads with the standard library and shares no code with the normalizer. Columns that cannot be known (receive
        times) are left out.
        """

    def trade(
        self, symbol: str, trade_id: str | int, price: str, quantity: str, side: str, at_us: int,
        sequence_num: int | None = None,
    ) -> tuple[str, dict[str, Any]]:  # fmt: skip
        """A trade for `meaning`.

        Args:
            symbol: As the exchange spells it.
            trade_id: The exchange's id.
            price: The text that the frame prints.
            quantity: Likewise.
            side: The taker's.
            at_us: The exchange's event time, Unix µs.
            sequence_num: The exchange's contiguous number, where it has one.
        """
        return issued.trade(self.name, symbol, trade_id, price, quantity, side, at_us, sequence_num)

    def quote(
        self, symbol: str, update_id: str | int, bid: tuple[str, str], ask: tuple[str, str], at_us: int | None = None,
        sequence_num: int | None = None,
    ) -> tuple[str, dict[str, Any]]:  # fmt: skip
        """A quote for `meaning`.

        Args:
            symbol: As the exchange spells it.
            update_id: The exchange's id.
            bid: Best price and the quantity at it, the texts that the frame prints.
            ask: Likewise.
            at_us: The exchange's event time, Unix µs; None where it prints none.
            sequence_num: The exchange's contiguous number, where it has one.
        """
        return issued.quote(self.name, symbol, update_id, bid, ask, at_us, sequence_num)

    async def __aenter__(self) -> Self:
        await self.exchange.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.exchange.__aexit__(kind, error, trace)

    def issued(self, data_type: str) -> list[dict[str, Any]]:
        """Every distinct record sent so far; times of receivers are not in it."""
        return self.noted.records(data_type)

    async def play(self) -> None:
        """Wait until every stream has a subscriber, play the tape, and return when all of it is sent.

        Raises:
            TimeoutError: Nobody subscribed to all of it within `subscribe_timeout_s`.
        """
        await self.exchange.wait_subscribed(self.streams(), self._played.subscribe_timeout_s)
        start = self.clock.monotonic()
        for burst in _bursts(self._tape, self._played.burst_frames):
            await asyncio.sleep(max(0.0, start + burst[0].at - self.clock.monotonic()))
            again, self._again = self._again, []
            await self._send([*again, *self._rendered(burst)])
        again, self._again = self._again, []
        await self._send(again)

    def _rendered(self, burst: Sequence[Any]) -> Iterator[_Frame]:
        """Frames with the time of now; every n-th sound one is kept, to be sent again with the next burst."""
        now_us, every = self.clock.now_ns() // 1000, self._played.double_every
        for event in burst:
            if isinstance(event, Recorded):
                yield _Frame(event.stream, event.payload, "sound" if event.sound else "malformed")
                continue
            payload = self.render(event, now_us)
            if not event.sound:
                yield _Frame(self.stream(event), broken_off(payload), "malformed")
                continue
            frame = _Frame(self.stream(event), payload, "sound")
            self._memory.keep(frame.stream, payload)
            self._sound += 1
            if every and self._sound % every == 0:
                self._again.append(frame._replace(kind="doubled"))
            yield frame

    async def _send(self, frames: Sequence[_Frame]) -> None:
        """Send to all who listen; what at least one of them took counts as issued."""
        listening = self.exchange.connections
        parts = [[n for n, frame in enumerate(frames) if frame.stream in one.streams] for one in listening]
        taken = await asyncio.gather(
            *(self._hand(one, [frames[n] for n in part]) for one, part in zip(listening, parts, strict=True))
        )
        heard = {n for part, all_of_it in zip(parts, taken, strict=True) if all_of_it for n in part}
        for frame in (frames[n] for n in sorted(heard)):
            self.counts[frame.kind] += 1
            if self._notes and frame.kind != "malformed":
                self.noted.note(frame.payload)

    async def _hand(self, one: Any, frames: Sequence[_Frame]) -> bool:
        """Whether a connection took all of the frames; one that is just closing takes none."""
        wrap = self.exchange.dialect.wrap
        messages = [wrap(one.path, frame.stream, frame.payload) for frame in frames]
        return bool(messages) and await one.send(messages, burst=len(messages)) == len(messages)


def _bursts(tape: Iterable[Any], most: int) -> Iterator[list[Any]]:
    """Consecutive events that lie within `_BURST_S`, at most so many at once."""
    burst: list[Any] = []
    for event in tape:
        if burst and (len(burst) >= most or event.at > burst[0].at + _BURST_S):
            yield burst
            burst = []
        burst.append(event)
    if burst:
        yield burst
