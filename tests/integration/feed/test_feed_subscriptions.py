"""Subscriptions: acknowledgements are checked, refusals isolated, unknown symbols left out."""

from __future__ import annotations

import json
import logging

import pytest

from k2core.interfaces.connector import ConnectionLimits
from k2core.testing import FakeExchange
from tests.integration.feed.toy_exchange import FAST, ToyDialect, ToyFeed, ids, reading, trades, until_true

AAA = "AAA@trades"
SYMBOLS = [f"S{i}" for i in range(16)]


def streams(symbols: list[str]) -> set[str]:
    return {f"{s}@trades" for s in symbols}


async def test_one_refused_symbol_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    good = [s for s in SYMBOLS if s != "S5"]
    async with FakeExchange(ToyDialect()) as server:
        server.refused_streams = {"S5@trades"}
        async with reading(ToyFeed(server.url, SYMBOLS)) as taken:
            await server.wait_subscribed(streams(good))
            for symbol in good:
                await server.send(f"{symbol}@trades", trades(0, 1, symbol))
            await taken.until(15)
            await until_true(lambda: "S5 trades" in taken.connector.facts()["refused_subscriptions"])
            assert taken.connector.facts()["refused_subscriptions"] == {"S5 trades": "no such stream"}
            assert server.counts["connects"] == 1
            assert len(server.received) <= 1 + 2 * 4  # halved, not asked one by one
            server.refused_streams = set()
            await server.drop(0, how="abort")
            await server.wait_subscribed(streams(SYMBOLS))
            await server.send("S5@trades", trades(0, 1, "S5"))
            await taken.until(16)
            assert taken.connector.facts()["refused_subscriptions"] == {}
    assert any("trades of S5 is refused" in r.message for r in caplog.records)


async def test_when_all_is_refused_the_connection_stays_and_says_so() -> None:
    async with FakeExchange(ToyDialect()) as server:
        server.refused_streams = streams(["AAA", "BBB"])
        async with reading(ToyFeed(server.url, ["AAA", "BBB"])) as taken:
            await until_true(lambda: len(taken.connector.facts()["refused_subscriptions"]) == 2)
            assert server.counts["connects"] == 1


async def test_an_unacknowledged_subscription_is_made_again_on_a_new_connection() -> None:
    limits = ConnectionLimits(control_per_second=500, ack_timeout=0.1)
    async with FakeExchange(ToyDialect()) as server:
        server.withhold_acks = 2
        async with reading(ToyFeed(server.url, limits=limits)) as taken:
            await server.wait_until(lambda: server.counts["connects"] == 3)
            await server.wait_subscribed({AAA})
            await server.send(AAA, trades(0, 3))
            await taken.until(3)
            assert taken.connector.facts()["unacknowledged"] == 2
            assert taken.connector.facts()["reconnects"] == 2


async def test_a_late_acknowledgement_in_time_is_fine_and_early_data_is_kept() -> None:
    async with FakeExchange(ToyDialect()) as server:
        server.ack_delay = 0.15
        async with reading(ToyFeed(server.url)) as taken:
            await server.wait_subscribed({AAA})
            await server.send(AAA, trades(0, 3))
            assert ids(await taken.until(3)) == [0, 1, 2]
            await until_true(lambda: taken.connector.facts()["frames_control"] == 1)
            assert server.counts["connects"] == 1
            assert taken.numbers(0) == [0, 1, 2]  # the acknowledgement came after them


class IgnoresPoison(ToyDialect):
    """Answers nothing at all to a request that names the stream P."""

    def on_message(self, message: bytes, current: set[str]) -> tuple[list[bytes], set[str]]:
        if "P@trades" in json.loads(message)["streams"]:
            return [], current
        return super().on_message(message, current)


async def test_a_symbol_whose_requests_are_never_answered_is_isolated_in_the_end() -> None:
    limits = ConnectionLimits(control_per_second=500, ack_timeout=0.1)
    good = ["A", "B", "C", "D", "E"]
    server = FakeExchange(IgnoresPoison())
    async with server, reading(ToyFeed(server.url, [*good, "P"], limits=limits)) as taken:
        await server.wait_subscribed(streams(good), timeout=60)
        assert server.counts["connects"] <= 4
        await server.send("A@trades", trades(0, 1, "A"))
        await taken.until(1)
        await until_true(lambda: set(taken.connector.facts()["refused_subscriptions"]) == {"P trades"})
        assert set(server.connections[0].streams) == streams(good)


async def test_unknown_symbols_are_reported_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeExchange(ToyDialect()) as server:
        feed = ToyFeed(server.url, ["AAA", "NOPE", "BBB"], rest_url=server.rest_url)
        async with reading(feed) as taken:
            await server.wait_subscribed(streams(["AAA", "BBB"]))
            assert server.counts["rest"] == 1
            assert server.connections[0].streams == streams(["AAA", "BBB"])
            assert taken.connector.facts()["unknown_subscriptions"] == ["NOPE trades"]
            await server.send(AAA, trades(0, 1))
            await taken.until(1)
            assert taken.metrics.value("k2_ingest_subscriptions_left_out", exchange="toy") == 1
    assert any("does not know trades of NOPE" in r.message for r in caplog.records)


async def test_capture_begins_without_the_check_and_asks_again() -> None:
    async with FakeExchange(ToyDialect()) as server:
        server.fail_rest(429, {"Retry-After": "0"}, count=2)
        feed = ToyFeed(server.url, ["AAA", "NOPE"], rest_url=server.rest_url)
        async with reading(feed) as taken:
            await server.wait_subscribed(streams(["AAA", "NOPE"]))
            await until_true(lambda: taken.connector.facts()["unknown_subscriptions"] == ["NOPE trades"])
            assert server.counts["rest"] == 3
            await server.drop(0, how="close")
            await server.wait_until(lambda: [c.streams for c in server.connections] == [streams(["AAA"])])


async def test_when_no_symbol_is_known_nothing_is_connected_until_one_is() -> None:
    class Lists(ToyDialect):
        symbols = b"[]"

        def rest(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
            return 200, {}, self.symbols

    dialect = Lists()
    async with FakeExchange(dialect) as server, reading(ToyFeed(server.url, ["AAA"], rest_url=server.rest_url)):
        await server.wait_until(lambda: server.counts["rest"] >= 2)
        assert server.counts["connects"] == 0
        dialect.symbols = b'["AAA"]'
        await server.wait_subscribed({AAA})


async def test_streams_in_the_url_need_no_requests() -> None:
    async with FakeExchange(ToyDialect()) as server, reading(ToyFeed(server.url, by_url=True)) as taken:
        await server.wait_subscribed({AAA})
        await server.send(AAA, trades(0, 5))
        await taken.until(5)
        assert server.received == []


async def test_a_feed_whose_code_fails_is_reported_and_kept_alive(caplog: pytest.LogCaptureFixture) -> None:
    class Fails(ToyFeed):
        fails = 3

        def subscribe(self, subscriptions, first_id):  # type: ignore[no-untyped-def]
            self.fails -= 1
            if self.fails >= 0:
                raise RuntimeError("subscribe is broken")
            return super().subscribe(subscriptions, first_id)

        def is_data(self, frame: bytes) -> bool:
            if b'"id":1,' in frame:
                raise RuntimeError("is_data is broken")
            return super().is_data(frame)

    caplog.set_level(logging.ERROR)
    async with FakeExchange(ToyDialect()) as server, reading(Fails(server.url), FAST) as taken:
        await server.wait_subscribed({AAA})
        await server.send(AAA, trades(0, 3), burst=3)
        assert ids(await taken.until(3)) == [0, 1, 2]
    assert {"subscribe is broken", "is_data is broken"} <= {str(r.exc_info[1]) for r in caplog.records if r.exc_info}
