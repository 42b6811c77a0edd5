"""The driver against a server that misbehaves: each fault of the exchange, over real sockets."""

from __future__ import annotations

import asyncio
import time

import pytest

from k2core.errors import ConfigError
from k2core.interfaces.connector import ConnectionLimits
from k2core.testing import FakeExchange, ServerLimits
from tests.integration.feed.toy_exchange import FAST, QUICK, ToyDialect, ToyFeed, connect, ids, reading, trades

AAA = "AAA@trades"


async def test_frames_arrive_whole_in_order_and_numbered() -> None:
    async with FakeExchange(ToyDialect()) as server, reading(ToyFeed(server.url)) as taken:
        await server.wait_subscribed({AAA})
        assert await server.send(AAA, trades(0, 5000)) == 1
        assert await taken.until(5000) == trades(0, 5000)
        assert taken.numbers(0) == list(range(1, 5001))  # 0 was the acknowledgement
        assert all(b.received_ns[0] > 1.6e18 for b in taken.batches)
        assert taken.connector.facts()["frames_control"] == 1


async def test_a_burst_is_taken_as_one_batch_with_one_time() -> None:
    async with FakeExchange(ToyDialect()) as server, reading(ToyFeed(server.url)) as taken:
        await server.wait_subscribed({AAA})
        await server.send(AAA, trades(0, 1000), burst=1000)
        await taken.until(1000)
        assert len(taken.batches) <= 3
        assert len(set(taken.batches[0].received_ns)) <= 2


@pytest.mark.parametrize("how", ["close", "abort", "reset"])
async def test_a_dropped_connection_is_made_again_and_resubscribed(how: str) -> None:
    async with FakeExchange(ToyDialect()) as server, reading(ToyFeed(server.url)) as taken:
        for at in range(3):
            await server.wait_subscribed({AAA})
            await server.send(AAA, trades(at * 10, 10))
            await taken.until(at * 10 + 10)
            await server.drop(at, how=how)  # type: ignore[arg-type]
        await server.wait_subscribed({AAA})
        await server.send(AAA, trades(30, 10))
        assert ids(await taken.until(40)) == list(range(40))
        assert taken.connector.facts()["reconnects"] == 3
        reason = "closed" if how == "close" else "lost"
        assert taken.metrics.value("k2_ingest_reconnects_total", exchange="toy", reason=reason) == 3


async def test_frames_sent_before_a_close_are_not_lost() -> None:
    async with FakeExchange(ToyDialect()) as server, reading(ToyFeed(server.url)) as taken:
        await server.wait_subscribed({AAA})
        await server.send(AAA, trades(0, 20_000))
        await server.drop(0, how="close")
        assert ids(await taken.until(20_000)) == list(range(20_000))


@pytest.mark.parametrize("how", ["silent", "muted"])
async def test_silence_is_noticed(how: str) -> None:
    limits = ConnectionLimits(control_per_second=500, frame_timeout=0.15)
    async with FakeExchange(ToyDialect()) as server, reading(ToyFeed(server.url, limits=limits)) as taken:
        await server.wait_subscribed({AAA})
        if how == "silent":
            await server.drop(0, how="silent")
        server.muted = how == "muted"
        await server.wait_until(lambda: server.counts["connects"] >= 2)
        server.muted = False
        await server.wait_subscribed({AAA})
        await server.send(AAA, trades(0, 1))
        await taken.until(1)
        assert taken.connector.facts()["reconnects"] >= 1


async def test_pings_keep_a_quiet_market_alive_but_not_a_feed_that_owes_data() -> None:
    alive = ConnectionLimits(control_per_second=500, frame_timeout=2)
    owes = ConnectionLimits(control_per_second=500, frame_timeout=2, data_timeout=0.3)
    for limits in (alive, owes):
        server = FakeExchange(ToyDialect(), limits=ServerLimits(ping_interval=0.05))
        async with server, reading(ToyFeed(server.url, limits=limits)):
            await server.wait_until(lambda server=server: server.counts["control"] >= 50)  # 2.5 s
            assert (server.counts["connects"] > 1) == (limits is owes)


async def test_a_refused_handshake_is_tried_again_and_retry_after_is_honoured() -> None:
    async with FakeExchange(ToyDialect()) as server:
        server.refuse_next(503, count=3)
        server.refuse_next(429, {"Retry-After": "1"})
        start = time.monotonic()
        async with reading(ToyFeed(server.url)) as taken:
            await server.wait_subscribed({AAA})
            assert time.monotonic() - start >= 1
            assert taken.connector.facts()["failed_attempts"] == 4
            assert server.counts["refused"] == 4


async def test_an_exchange_that_is_away_at_the_start_is_waited_for() -> None:
    async with FakeExchange(ToyDialect()) as gone:
        port = gone.port
    async with reading(ToyFeed(f"ws://127.0.0.1:{port}")) as taken:
        await asyncio.sleep(0.15)
        assert taken.connector.facts()["failed_attempts"] >= 2
        assert taken.metrics.value("k2_ingest_connect_failures_total", exchange="toy") >= 2
        async with FakeExchange(ToyDialect(), port=port) as back:
            await back.wait_subscribed({AAA})
            await back.send(AAA, trades(0, 1))
            await taken.until(1)


async def test_an_oversize_frame_is_refused_and_the_feed_goes_on() -> None:
    limits = ConnectionLimits(control_per_second=500, max_frame_bytes=1000)
    async with FakeExchange(ToyDialect()) as server, reading(ToyFeed(server.url, limits=limits)) as taken:
        await server.wait_subscribed({AAA})
        await server.send(AAA, [*trades(0, 5), b"x" * 1001, *trades(5, 5)], burst=100)
        await server.wait_until(lambda: server.counts["connects"] == 2)
        await server.wait_subscribed({AAA})
        await server.send(AAA, trades(10, 5))
        assert ids(await taken.until(10)) == [*range(5), *range(10, 15)]
        assert taken.connector.facts()["frames_refused"] == 1
        assert taken.metrics.value("k2_ingest_frames_total", outcome="refused") == 1


async def test_a_compressed_bomb_is_refused_before_it_is_unpacked() -> None:
    settings = FAST.model_copy(update={"compression": True})
    async with FakeExchange(ToyDialect(), compression=True) as server, reading(ToyFeed(server.url), settings) as taken:
        await server.wait_subscribed({AAA})
        await server.send(AAA, trades(0, 300))
        await taken.until(300)
        await server.connections[0].send_bomb(64 << 20)
        await server.wait_until(lambda: server.counts["connects"] == 2)
        await server.wait_subscribed({AAA})
        await server.send(AAA, trades(300, 300))
        assert ids(await taken.until(600)) == list(range(600))
        assert taken.connector.facts()["frames_refused"] == 1


async def test_garbage_goes_to_the_normalizer_and_costs_no_connection() -> None:
    odd = [b"not json", b"", b"\xff\xfe", b'{"unknown":1}']
    heartbeat = b'{"hb":1}'
    burst = [*trades(0, 2), *odd, heartbeat, *trades(2, 2), heartbeat, heartbeat, *trades(4, 1)]
    async with FakeExchange(ToyDialect()) as server, reading(ToyFeed(server.url)) as taken:
        await server.wait_subscribed({AAA})
        await server.send(AAA, burst, burst=len(burst))
        assert await taken.until(9) == [f for f in burst if f != heartbeat]
        assert server.counts["connects"] == 1
        assert taken.numbers(0) == [n for n, f in enumerate(burst, 1) if f != heartbeat]


async def test_our_messages_stay_within_the_limit_pongs_included() -> None:
    limits = ServerLimits(control_per_second=5, ping_interval=0.02)
    feed = ConnectionLimits(control_per_second=5, streams_per_connection=10)
    server = FakeExchange(ToyDialect(), limits=limits)
    async with server, reading(ToyFeed(server.url, ["AAA", "BBB"], limits=feed)):
        await server.wait_until(lambda: server.counts["control"] >= 8)
        assert server.counts["kicked"] == 0


async def test_streams_are_sharded_over_connections() -> None:
    symbols = [f"S{i}" for i in range(25)]
    limits = ConnectionLimits(control_per_second=500, streams_per_connection=10)
    server = FakeExchange(ToyDialect(), limits=ServerLimits(streams_per_connection=10))
    async with server, reading(ToyFeed(server.url, symbols, limits=limits)) as taken:
        await server.wait_subscribed({f"{s}@trades" for s in symbols})
        assert [len(c.streams) for c in server.connections] == [10, 10, 5]
        assert taken.metrics.value("k2_ingest_connections", exchange="toy") == 3
        for symbol in symbols:
            await server.send(f"{symbol}@trades", trades(0, 2, symbol))
        await taken.until(50)
        assert {b.connection for b in taken.batches} == {0, 1, 2}


async def test_only_wrong_settings_end_a_feed() -> None:
    for feed in (ToyFeed("http://127.0.0.1:1"), ToyFeed("ws://127.0.0.1:1", symbols=())):
        with pytest.raises(ConfigError):
            async with connect(feed) as connector:
                await anext(aiter(connector.frames()))


async def test_a_half_open_server_does_not_delay_the_end() -> None:
    async with FakeExchange(ToyDialect()) as server:
        settings = FAST.model_copy(update={"close_timeout_s": 0.1})
        async with reading(ToyFeed(server.url, limits=QUICK), settings):
            await server.wait_subscribed({AAA})
            await server.drop(0, how="silent")
            start = time.monotonic()
        assert time.monotonic() - start < 9, "ten seconds is what the library waits"
