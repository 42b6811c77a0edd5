"""Make before break: a connection that is about to end is replaced while it runs, and no frame is missed."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from k2core.feed.settings import FeedSettings
from k2core.interfaces.connector import ConnectionLimits
from k2core.testing import FakeExchange
from tests.integration.feed.toy_exchange import FAST, ToyDialect, ToyFeed, ids, reading, trade, trades

AAA = "AAA@trades"


async def pour(server: FakeExchange, stop: asyncio.Event, counter: itertools.count[int]) -> None:
    """One trade after the other, until told to stop."""
    while not stop.is_set():
        await server.send(AAA, [trade(next(counter))])
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("by_url", [False, True])
async def test_a_shutdown_notice_is_followed_by_a_new_connection_before_the_old_one_goes(by_url: bool) -> None:
    stop, counter = asyncio.Event(), itertools.count()
    async with FakeExchange(ToyDialect()) as server, reading(ToyFeed(server.url, by_url=by_url)) as taken:
        await server.wait_subscribed({AAA})
        pouring = asyncio.create_task(pour(server, stop, counter))
        for old in range(3):
            await taken.until(len(taken.frames) + 20)
            await server.announce_shutdown(old)
            await server.wait_until(lambda old=old: server.counts["connects"] == old + 2)
            await server.wait_until(lambda old=old: [c.number for c in server.connections] == [old + 1])
        stop.set()
        await pouring
        sent = next(counter)
        await taken.until(sent)
        assert set(ids(taken.frames)) == set(range(sent))
        assert len(taken.frames) > sent  # both yielded meanwhile
        assert taken.connector.facts()["rollovers"] == 3
        assert taken.metrics.value("k2_ingest_rollovers_total", exchange="toy") == 3
        assert taken.connector.facts()["reconnects"] == 0


async def test_connections_are_replaced_at_their_age() -> None:
    """The 24 hours of an exchange, shrunk to a third of a second."""
    stop, counter = asyncio.Event(), itertools.count()
    limits = ConnectionLimits(control_per_second=500, max_age=0.3)
    async with FakeExchange(ToyDialect()) as server, reading(ToyFeed(server.url, limits=limits)) as taken:
        await server.wait_subscribed({AAA})
        pouring = asyncio.create_task(pour(server, stop, counter))
        await server.wait_until(lambda: server.counts["connects"] == 4)
        stop.set()
        await pouring
        sent = next(counter)
        async with asyncio.timeout(60):
            while set(ids(taken.frames)) != set(range(sent)):
                await taken.until(len(taken.frames) + 1)
        assert taken.connector.facts()["reconnects"] == 0


async def test_the_old_connection_runs_on_while_the_new_one_cannot_be_had() -> None:
    async with FakeExchange(ToyDialect()) as server, reading(ToyFeed(server.url)) as taken:
        await server.wait_subscribed({AAA})
        server.refuse_next(503, count=4)
        await server.announce_shutdown(0)
        await server.wait_until(lambda: server.counts["refused"] == 2)
        await server.send(AAA, trades(0, 100))
        assert ids(await taken.until(100)) == list(range(100))
        await server.wait_until(lambda: [c.number for c in server.connections] == [1])


async def test_a_server_that_closes_in_the_middle_of_the_replacement_is_survived() -> None:
    async with FakeExchange(ToyDialect()) as server, reading(ToyFeed(server.url)) as taken:
        await server.wait_subscribed({AAA})
        server.refuse_next(503, count=2)
        await server.announce_shutdown(0)
        await server.drop(0, how="close")
        await server.wait_subscribed({AAA})
        await server.send(AAA, trades(0, 3))
        assert ids(await taken.until(3)) == [0, 1, 2]


async def test_in_a_quiet_market_an_open_connection_must_do() -> None:
    settings = FeedSettings.model_validate({**FAST.model_dump(), "overlap_wait_s": 0.05})
    async with FakeExchange(ToyDialect()) as server, reading(ToyFeed(server.url, by_url=True), settings):
        await server.wait_subscribed({AAA})
        await server.announce_shutdown(0)
        await server.wait_until(lambda: [c.number for c in server.connections] == [1])
        assert server.counts["connects"] == 2


async def test_what_was_on_its_way_when_we_close_still_counts() -> None:
    async with FakeExchange(ToyDialect()) as server, reading(ToyFeed(server.url)) as taken:
        await server.wait_subscribed({AAA})
        sending = asyncio.create_task(server.send(AAA, trades(0, 100_000)))
        await taken.until(1)
        await taken.connector.close()
        await sending
    assert ids(taken.frames) == list(range(server.connection(0).frames))
