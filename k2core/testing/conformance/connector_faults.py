"""MUSTs of a connector on an exchange that misbehaves: it comes back, by itself, for ever, and within the limits."""

from __future__ import annotations

from collections import Counter

from k2core.errors import ConnectorError
from k2core.interfaces.connector import RestClient, RestResponse
from k2core.testing.conformance.connector_world import ConnectorFactsSuite, Talk, declared
from k2core.testing.conformance.facts import needs
from k2core.testing.exchange import Drop, FakeExchange

TURNED_AWAY_S = 1
ROUNDS = 8


class FaultTests(ConnectorFactsSuite):
    """Each fault once, over real sockets."""

    @needs("acknowledges")
    def test_C08_an_acknowledgement_that_never_comes_is_noticed(self) -> None:
        """It asks again, on this connection or on a new one, and then has its frames."""

        def withhold(exchange: FakeExchange) -> None:
            exchange.withhold_acks = 1

        async def work() -> None:
            async with self._listening(withhold, ack_timeout=0.2) as talk:
                for _ in range(int(self.timeout_s * 10)):  # data of all that is subscribed flows meanwhile
                    await self._send_all(talk)
                    if await talk.sees(lambda: self._asked_again(talk), 0.1):
                        break
                assert self._asked_again(talk), "a request was not acknowledged, and is not made again"
                await self._goes_on(talk)

        self.run(work())

    def _asked_again(self, talk: Talk) -> bool:
        """Whether some stream was asked for more than once."""
        talk.check_dialect()
        dialect = self.dialect()
        asked = Counter(
            stream for _, message in talk.exchange.received for stream in dialect.on_message(message, set())[1]
        )
        return max(asked.values(), default=0) > 1

    @needs("acknowledges", "refuses")
    def test_C09_a_refused_subscription_costs_no_other(self) -> None:
        """The others have their frames, and `facts()` names the refused one."""
        refused, *others = sorted(self.streams)
        if not others:
            return

        def refuse(exchange: FakeExchange) -> None:
            exchange.refused_streams = {refused}

        async def work() -> None:
            async with self._listening(refuse) as talk:
                await talk.until(
                    lambda: set(others) <= {s for c in talk.exchange.connections for s in c.streams},
                    f"subscriptions to {others} though {refused} is refused",
                )
                await talk.until(lambda: bool(talk.connector.facts().get("refused_subscriptions")), "a word of refusal")
                assert len(talk.connector.facts()["refused_subscriptions"]) == 1, talk.connector.facts()
                for stream in others:
                    await talk.exchange.send(stream, self.streams[stream])
                await talk.all_of(len(talk.sent))

        self.run(work())

    def test_C10_an_ended_connection_is_made_again(self) -> None:
        """Closed, cut, or reset: subscribed anew, and frames flow; what came before the end is not lost."""

        async def work() -> None:
            async with self._talking() as talk:
                drops: tuple[Drop, ...] = ("close", "abort", "reset")
                for how in drops:
                    count = await self._send_all(talk)
                    await talk.all_of(count)
                    for connection in talk.exchange.connections:
                        await talk.exchange.drop(connection, how)
                    await self._goes_on(talk)
                assert sorted(talk.got) == sorted(talk.sent)

        self.run(work())

    def test_C11_silence_is_noticed(self) -> None:
        """A half-open connection (no end, no frame) is given up and made again."""

        async def work() -> None:
            async with self._talking(frame_timeout=0.3) as talk:
                for connection in talk.exchange.connections:
                    await talk.exchange.drop(connection, "silent")
                await self._goes_on(talk)

        self.run(work())

    def test_C12_a_farewell_is_heeded(self) -> None:
        """Where the exchange says that it will close, the new connection stands before the old one ends."""
        exchange = FakeExchange(self.dialect())
        if not exchange.dialect.shutdown_frame("/"):
            return

        async def work() -> None:
            async with self._talking() as talk:
                before, old = talk.exchange.counts["connects"], talk.exchange.connections
                for connection in old:
                    await talk.exchange.announce_shutdown(connection)
                await talk.until(lambda: talk.exchange.counts["connects"] > before, "a new connection")
                assert any(connection.open for connection in old), "the old connection ended before the new one stood"
                await self._goes_on(talk)

        self.run(work())

    def test_C13_a_connection_that_gets_too_old_is_replaced(self) -> None:
        """The 24 hours' cut: after the exchange's end of a connection's life all goes on; a feed goes before it."""
        if (feed := self._feed()) is not None and (cut := self.server_limits.max_age) is not None:
            age = feed.limits.max_age
            assert age is not None, f"the exchange cuts connections after {cut:g} s: declare a smaller max_age"
            assert 60 <= age < cut, f"max_age is {age:g} s; the exchange cuts after {cut:g} s"

        async def work() -> None:
            async with self._talking(max_age=0.3) as talk:
                before = talk.exchange.counts["connects"]
                if feed is None:
                    for connection in talk.exchange.connections:
                        await talk.exchange.drop(connection, "close", 1001)
                await talk.until(lambda: talk.exchange.counts["connects"] > before, "a younger connection")
                await self._goes_on(talk)

        self.run(work())

    def test_C14_an_oversize_frame_is_not_buffered(self) -> None:
        """It never arrives; the connection is made again."""

        async def work() -> None:
            async with self._talking(max_frame_bytes=20_000) as talk:
                size = 21_000 if self._feed() is not None else 8 << 20
                for connection in talk.exchange.connections:
                    await connection.send([b'{"k2":"' + b"x" * size + b'"}'], ledger=False)
                await self._goes_on(talk)
                assert max(map(len, talk.frames)) < size, "the oversize frame arrived"

        self.run(work())

    def test_C15_the_exchanges_limits_are_kept(self) -> None:
        """What is declared lies within what the exchange enforces, and over reconnects nobody is thrown out."""
        if (feed := self._feed()) is not None:
            for name, kept, enforced in declared(feed.limits, self.server_limits):
                assert enforced is None or (kept is not None and kept <= enforced), (
                    f"{name}: {kept}, allowed {enforced}"
                )

        async def work() -> None:
            async with self._talking() as talk:
                for _ in range(2):
                    for connection in talk.exchange.connections:
                        await connection.ping()
                        await talk.exchange.drop(connection, "abort")
                    await self._goes_on(talk)
                assert not talk.exchange.counts["kicked"], "the exchange threw it out: too many streams or messages"

        self.run(work())

    @needs("pings")
    def test_C16_pings_are_answered(self) -> None:
        """An exchange closes what does not answer."""

        async def work() -> None:
            async with self._talking() as talk:
                for connection in talk.exchange.connections:
                    await connection.ping()
                    await talk.until(lambda one=connection: one.pongs > 0, "an answer to a ping")  # type: ignore[misc]

        self.run(work())

    def test_C17_turned_away_it_waits_and_comes_back(self) -> None:
        """503 is tried again; 429 with `Retry-After` no sooner than it says."""

        def turn_away(exchange: FakeExchange) -> None:
            exchange.refuse_next(503)
            exchange.refuse_next(429, {"Retry-After": str(TURNED_AWAY_S)})

        async def work() -> None:
            async with self._listening(turn_away) as talk:
                await talk.until(lambda: talk.exchange.counts["connects"] > 0, "a third attempt")
                _, told, back = talk.exchange.attempts[:3]
                assert back - told > TURNED_AWAY_S * 0.9, f"it came back after {back - told:.2f} s, told to wait 1 s"
                await self._goes_on(talk)

        self.run(work())

    def test_C18_closing_ends_the_frames(self) -> None:
        """Leaving the connector ends its connections and then `frames()`, in bounded time, without an error."""

        async def work() -> None:
            async with self._talking() as talk:
                await talk.connector.__aexit__(None, None, None)
                await talk.until(lambda: talk.ended or talk.failed is not None, "the end of frames()")
                assert talk.failed is None, f"closing made frames() raise {talk.failed!r}"
                await talk.until(lambda: not talk.exchange.connections, "the end of its connections")

        self.run(work())

    def test_C19_a_check_that_gets_no_answer_says_so(self) -> None:
        """`check` raises `ConnectorError` and nothing else, and finds nothing unknown where all is known."""
        if self._feed() is None:
            return

        async def work() -> None:
            async with FakeExchange(self.dialect()) as exchange:
                feed = self._made(exchange)
                assert list(await feed.check(_Asks(exchange))) == [], "it calls unknown what the dialect's REST lists"
                for status, body in ((500, b""), (200, b"<html>"), (200, b"{}"), (404, b"[]"), (400, b"null")):
                    try:
                        await feed.check(_Answers(RestResponse(status, {}, body)))
                    except ConnectorError:
                        continue

        self.run(work())

    async def _goes_on(self, talk: Talk) -> None:
        """Subscribed to everything, and a whole round of frames arrives; some may fall between two connections."""
        for _ in range(ROUNDS):
            await self._subscribed(talk)
            before, taken = len(talk.sent), len(talk.got)
            wanted = taken + await self._send_all(talk) - before
            if await talk.sees(lambda wanted=wanted: len(talk.got) >= wanted, 0.5) and wanted > taken:  # type: ignore[misc]
                return
        raise AssertionError("it is subscribed again, but frames that are sent do not arrive")


class _Asks(RestClient):
    """REST of the local exchange's dialect, without the network."""

    def __init__(self, exchange: FakeExchange) -> None:
        self._exchange = exchange

    async def get(self, url: str, params: object = None) -> RestResponse:
        from urllib.parse import parse_qsl, urlsplit

        asked = urlsplit(url)
        query = {**dict(parse_qsl(asked.query)), **(dict(params) if params else {})}  # type: ignore[call-overload]
        return RestResponse(*self._exchange.dialect.rest(asked.path, query))


class _Answers(RestClient):
    """Always the same answer."""

    def __init__(self, answer: RestResponse) -> None:
        self._answer = answer

    async def get(self, url: str, params: object = None) -> RestResponse:
        return self._answer
