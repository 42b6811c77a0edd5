"""`LocalBinance`: a Binance on loopback that plays a tape to whoever subscribes, and knows what it issued.

Faults it plays on purpose: frames sent twice, malformed frames, bursts. Should every subscriber of a stream leave, its
frames pass unheard, as at the exchange, and do not count as issued.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from k2_plugin_binance.endpoints import stream_name
from k2_plugin_binance.issued import Issued
from k2_plugin_binance.protocol import BinanceDialect
from k2_plugin_binance.recordings import recorded, symbols_of, with_malformed
from k2_plugin_binance.settings import LocalBinanceSettings
from k2_plugin_binance.tape import Event, generated
from k2core.plugin import Clock, Subscription, SystemClock
from k2core.testing import FakeExchange, LocalExchange, ServerLimits

_BURST_S = 0.002
_SERVER_LIMITS = ServerLimits(
    streams_per_connection=1024, control_per_second=5, connects_per_window=300, ping_interval=20
)


class _Frame(NamedTuple):
    """A bare payload on its way; `kind` is `sound`, `doubled` or `malformed`."""

    stream: str
    payload: bytes
    kind: str


class LocalBinance(LocalExchange):
    """A local Binance.

    Args:
        settings: The tape, and how it is played.
        clock: Time of the events.

    Attributes:
        exchange: The server, for tests that want it to misbehave.
        counts: Frames sent so far: `sound`, `doubled` (sent a second time), `malformed`.
    """

    def __init__(self, settings: LocalBinanceSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._tape = _tape(settings)
        self._symbols = symbols_of(self._tape) if settings.recordings else list(settings.symbols)
        self.exchange = FakeExchange(BinanceDialect(self._symbols, self._clock), limits=_SERVER_LIMITS, ledger=False)
        self.counts: Counter[str] = Counter()
        self._issued = Issued()
        self._again: list[_Frame] = []
        self._sound = 0

    async def __aenter__(self) -> Self:
        """Start to listen."""
        await self.exchange.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; connections end."""
        await self.exchange.__aexit__(kind, error, trace)

    def settings(self) -> dict[str, Any]:
        """`[connectors.binance]` settings that reach this exchange."""
        return {
            "symbols": list(self._symbols),
            "websocket_url": self.exchange.url,
            "rest_url": self.exchange.rest_url,
            "data_types": list(self._settings.data_types),
            "combined": self._settings.combined,
            "time_unit": self._settings.time_unit,
        }

    def issued(self, data_type: str) -> list[dict[str, Any]]:
        """Every distinct trade or quote sent so far; times of quotes are their receivers', so they are not in it."""
        return self._issued.records(data_type)

    async def play(self) -> None:
        """Wait until every stream has a subscriber, play the tape, and return when all of it is sent.

        Raises:
            TimeoutError: Nobody subscribed to all of it within `subscribe_timeout_s`.
        """
        wanted = [Subscription(symbol, kind) for symbol in self._symbols for kind in self._settings.data_types]
        await self.exchange.wait_subscribed({stream_name(one) for one in wanted}, self._settings.subscribe_timeout_s)
        start = self._clock.monotonic()
        for burst in _bursts(self._tape, self._settings.burst_frames):
            await asyncio.sleep(max(0.0, start + burst[0].at - self._clock.monotonic()))
            again, self._again = self._again, []
            await self._send([*again, *self._rendered(burst)])
        again, self._again = self._again, []
        await self._send(again)

    def _rendered(self, burst: Sequence[Event]) -> Iterator[_Frame]:
        """Frames with the time of now; every n-th sound one is kept, to be sent again with the next burst."""
        now_ms, every = self._clock.now_ms(), self._settings.double_every
        for event in burst:
            frame = _Frame(event.stream, event.rendered(now_ms), "sound" if event.sound else "malformed")
            if event.sound:
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
            if frame.kind != "malformed":
                self._issued.note(frame.stream, frame.payload)

    async def _hand(self, one: Any, frames: Sequence[_Frame]) -> bool:
        """Whether a connection took all of the frames; one that is just closing takes none."""
        wrap = self.exchange.dialect.wrap
        messages = [wrap(one.path, frame.stream, frame.payload) for frame in frames]
        try:
            return bool(messages) and await one.send(messages, burst=len(messages)) == len(messages)
        except RuntimeError:  # asyncio's word for a socket whose closing handshake is under way
            return False


def _tape(settings: LocalBinanceSettings) -> list[Event]:
    if settings.recordings:
        return with_malformed(recorded(settings.recordings, rate=settings.rate), settings.malformed)
    return generated(
        settings.symbols,
        trades=settings.trades,
        quotes_per_trade=settings.quotes_per_trade,
        seconds=settings.seconds,
        malformed=settings.malformed,
        seed=settings.seed,
    )


def _bursts(tape: Sequence[Event], most: int) -> Iterator[Sequence[Event]]:
    """Consecutive events that lie within `_BURST_S`, at most so many at once."""
    first = 0
    for place, event in enumerate(tape):
        if place - first >= most or event.at > tape[first].at + _BURST_S:
            yield tape[first:place]
            first = place
    if tape:
        yield tape[first:]
