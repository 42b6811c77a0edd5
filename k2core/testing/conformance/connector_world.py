"""What the connector suite works with: the author's dialect on a real loopback server, and a reader of the connector.

A `WebSocketFeed` runs through k2's own driver, a full `Connector` as it is. Waiting times of a feed are shortened by the
kit; a full connector's by the author (`quick`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, ClassVar

from k2core.clock import SystemClock
from k2core.component import Component, Context
from k2core.feed.driver import FeedConnector
from k2core.feed.settings import FeedSettings
from k2core.interfaces.connector import ConnectionLimits, Connector, WebSocketFeed
from k2core.interfaces.frames import ConnectorFacts, FrameBatch
from k2core.interfaces.normalizer import Normalizer
from k2core.telemetry.metrics import Metrics
from k2core.testing.conformance.light import LightSuite
from k2core.testing.dialect import Dialect
from k2core.testing.exchange import FakeExchange, ServerLimits

QUICK = FeedSettings(
    backoff_initial_s=0.02, backoff_max_s=0.05, overlap_s=0.02, overlap_wait_s=1, close_timeout_s=0.5, check_retry_s=0.2
)


class Talk:
    """A connector at work, and the server that it talks to."""

    def __init__(self, exchange: FakeExchange, connector: Connector, timeout_s: float) -> None:
        self.exchange, self.connector = exchange, connector
        self.batches: list[FrameBatch] = []
        self.failed: BaseException | None = None
        self.ended = False
        self.wanted: set[str] = set()
        self._timeout_s = timeout_s
        self._more = asyncio.Event()

    @property
    def frames(self) -> list[bytes]:
        """All that came, in order."""
        return [frame for batch in self.batches for frame in batch.frames]

    @property
    def sent(self) -> list[bytes]:
        """All data that the server wrote, in order."""
        return [frame for _, frame in self.exchange.sent]

    @property
    def got(self) -> list[bytes]:
        """What came of that which the server wrote as data; frames of other kinds may pass beside it."""
        known = set(self.sent)
        return [frame for frame in self.frames if frame in known]

    def numbers(self) -> dict[int, list[int]]:
        """Numbers of the frames of each connection."""
        found: dict[int, list[int]] = defaultdict(list)
        for batch in self.batches:
            found[batch.connection] += range(batch.first_number, batch.first_number + len(batch))
        return found

    async def read(self) -> None:
        """Take what comes, until the connector ends."""
        try:
            async for batch in self.connector.frames():
                self.batches.append(batch)
                self._more.set()
            self.ended = True
        except Exception as error:  # noqa: BLE001 - told to the test that waits
            self.failed = error
        self._more.set()

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for something, bounded."""
        assert await self.sees(holds, self._timeout_s), f"after {self._timeout_s:g} s still not: {what}; {self._seen()}"

    async def sees(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Whether something holds within some time."""
        ends = time.monotonic() + seconds
        while not holds():
            self.check_dialect()
            assert self.failed is None, f"frames() raised {self.failed!r}: it may raise nothing but ConfigError"
            if time.monotonic() > ends:
                return False
            self._more.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._more.wait(), 0.02)
        return True

    def check_dialect(self) -> None:
        """Nothing that a broken dialect does tells anything about the connector."""
        if said := self.exchange.dialect_errors:  # no `assert`: pytest would bury the word under its own
            raise AssertionError(said[0])

    async def all_of(self, count: int) -> None:
        """Wait until so many data frames came."""
        await self.until(lambda: len(self.got) >= count, f"{count} data frames (there are {len(self.got)})")

    def _seen(self) -> str:
        return f"the server counts {dict(self.exchange.counts)}, the connector says {dict(self.connector.facts())}"


class ConnectorFactsSuite(LightSuite):
    """What the author of a connector gives and declares.

    Attributes:
        streams: By name, as the dialect knows them, everything that `settings` asks for; with at least two sound data
            frames each, as `FakeExchange.send` takes them (the dialect's `wrap` comes after).
        control: Frames without market data that the exchange sends.
        server_limits: What the real exchange enforces; the local one enforces it too.
        acknowledges: Whether the exchange acknowledges subscriptions.
        refuses: Whether it refuses them in words (`Dialect.refuse`).
        pings: Whether it sends WebSocket pings.
        normalizer: The component that reads what this connector passes on; None: it stands in another plugin.
        quick: For a full `Connector`: settings under which it waits for tenths of seconds (time-outs, back-off).
    """

    streams: ClassVar[Mapping[str, Sequence[bytes]]]
    control: ClassVar[Sequence[bytes]] = ()
    server_limits: ClassVar[ServerLimits] = ServerLimits()
    acknowledges: ClassVar[bool] = True
    refuses: ClassVar[bool] = True
    pings: ClassVar[bool] = True
    normalizer: ClassVar[Component[Normalizer] | None] = None
    quick: ClassVar[Mapping[str, Any]] = {}

    def dialect(self) -> Dialect:
        """The exchange's side of the protocol."""
        raise NotImplementedError(
            f"{type(self).__name__} needs a method `dialect`: the exchange's side of the protocol"
        )

    def settings(self, exchange: FakeExchange) -> Mapping[str, Any]:
        """Settings with which the connector asks `exchange` (its `url`, `rest_url`) for exactly `streams`."""
        raise NotImplementedError(f"{type(self).__name__} needs a method `settings`: what reaches the local exchange")

    def make(self, **options: Any) -> Any:
        """What the factory makes, with the settings of a server that is not there."""
        return self._made(FakeExchange(self.dialect()), options)

    def _made(self, exchange: FakeExchange, options: Mapping[str, Any] | None = None) -> Any:
        settings = self.component.settings(
            **{**self.options, **self.settings(exchange), **self.quick, **(options or {})}
        )
        return self.component.factory(settings, self._context())

    def _context(self) -> Context:
        logger = logging.getLogger(f"k2.conformance.{self.component.name}")
        return Context(clock=SystemClock(), logger=logger, metrics=Metrics())

    def _feed(self) -> WebSocketFeed | None:
        """The feed, or None for a full connector."""
        made = self.make()
        assert isinstance(made, WebSocketFeed | Connector), f"the factory made a {type(made).__name__}"
        return made if isinstance(made, WebSocketFeed) else None

    def _facts(self) -> ConnectorFacts:
        facts = self.component.capabilities
        assert isinstance(facts, ConnectorFacts), "a connector's `capabilities` are its ConnectorFacts"
        return facts

    @asynccontextmanager
    async def _talking(self, *, limits: ServerLimits | None = None, **shorter: Any) -> AsyncIterator[Talk]:
        """A connector, subscribed to everything on a server; `shorter` replaces limits of a feed."""
        async with self._listening(limits=limits, **shorter) as talk:
            await self._subscribed(talk)
            yield talk

    @asynccontextmanager
    async def _listening(
        self,
        prepare: Callable[[FakeExchange], None] | None = None,
        *,
        limits: ServerLimits | None = None,
        **shorter: Any,
    ) -> AsyncIterator[Talk]:
        async with FakeExchange(self.dialect(), limits=limits or self.server_limits) as exchange:
            if prepare:
                prepare(exchange)
            talk = Talk(exchange, self._connector(exchange, shorter), self.timeout_s)
            async with talk.connector:
                reading = asyncio.create_task(talk.read())
                try:
                    yield talk
                finally:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)
                talk.check_dialect()

    def _connector(self, exchange: FakeExchange, shorter: Mapping[str, Any]) -> Connector:
        made = self._made(exchange)
        if isinstance(made, Connector):
            return made
        assert isinstance(made, WebSocketFeed), f"the factory made a {type(made).__name__}"
        limits = dataclasses.replace(made.limits, **shorter)
        object.__setattr__(made, "limits", limits)
        context = self._context()
        return FeedConnector(
            made,
            context.clock,
            context.logger,
            context.metrics,
            self._facts().exchange,
            QUICK,
            rng=random.Random(1),  # noqa: S311 - jitter
        )

    async def _subscribed(self, talk: Talk) -> None:
        """Wait for everything; if some of it never comes, C01 says so, and the other tests go on with the rest."""
        wanted = talk.wanted or set(self.streams)
        most: set[str] = set()

        def complete() -> bool:
            nonlocal most
            most = max(most, _streams(talk.exchange) & wanted, key=len)
            return most == wanted

        done = await talk.sees(complete, self.timeout_s)
        assert most, f"it never subscribed to any of {sorted(wanted)}"
        assert done or not talk.wanted, f"it is not subscribed to {sorted(wanted - most)} any more"
        talk.wanted = most
        if not done:
            await talk.until(lambda: most <= _streams(talk.exchange), f"a subscription to {sorted(most)}")

    async def _send_all(self, talk: Talk) -> int:
        """Send every stream's frames; how many data frames the server has written by now."""
        for stream, frames in self.streams.items():
            assert len(frames) > 1, f"{stream}: the suite needs two sound frames of each stream"
            await talk.exchange.send(stream, frames)
        return len(talk.sent)


def _streams(exchange: FakeExchange) -> set[str]:
    return {stream for connection in exchange.connections for stream in connection.streams}


def declared(limits: ConnectionLimits, enforced: ServerLimits) -> Iterator[tuple[str, float | None, float | None]]:
    """Pairs of limits: what the feed keeps to, and what the exchange enforces; each name once."""
    yield "streams_per_connection", limits.streams_per_connection, enforced.streams_per_connection
    yield "control_per_second", limits.control_per_second, enforced.control_per_second
    if enforced.connects_per_window is not None:
        yield (
            "connects_per_window",
            limits.connects_per_window / limits.connect_window,
            enforced.connects_per_window / enforced.connect_window,
        )
