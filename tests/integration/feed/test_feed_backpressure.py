"""A slow reader pushes back to the socket: the server cannot write on, memory is bounded, nothing is lost."""

from __future__ import annotations

import asyncio
import functools

from k2core.feed.settings import FeedSettings
from k2core.interfaces.connector import ConnectionLimits
from k2core.telemetry.metrics import Metrics
from k2core.testing import FakeExchange, ServerLimits
from tests.integration.feed.toy_exchange import FAST, ToyDialect, ToyFeed, connect, ids, padded, trades

AAA = "AAA@trades"
N = 50_000  # 25 MB: far more than sockets buffer


def small(**more: object) -> FeedSettings:
    return FAST.model_copy(update={"queue_frames": 5000, **more})


async def test_a_full_queue_blocks_the_server_and_nothing_is_lost() -> None:
    metrics = Metrics()
    connecting = functools.partial(connect, settings=small(), metrics=metrics)
    async with FakeExchange(ToyDialect(), ledger=False) as server, connecting(ToyFeed(server.url)) as connector:
        frames = connector.frames()
        first = asyncio.ensure_future(anext(frames))
        await server.wait_subscribed({AAA})
        sending = asyncio.create_task(server.send(AAA, padded(N)))
        seen = ids((await first).frames)
        written = -1
        while written != (written := server.connection(0).frames):  # noqa: ASYNC110 - until the server is stuck
            await asyncio.sleep(0.1)
        assert not sending.done()
        assert written < N
        facts = connector.facts()
        assert facts["queue_frames"] < 5000 + 262_144 / 500  # the bound, and one read
        assert facts["queue_pauses"] == 1
        seen += ids((await anext(frames)).frames)
        assert metrics.value("k2_ingest_queue_frames", exchange="toy") > 1000
        assert metrics.value("k2_ingest_queue_bytes", exchange="toy") > 500_000
        assert metrics.value("k2_ingest_queue_fill_ratio", exchange="toy") > 0.2
        assert metrics.value("k2_ingest_queue_pauses_total", exchange="toy") == 1
        while len(seen) < N:
            seen += ids((await anext(frames)).frames)
        assert seen == list(range(N))
        assert await sending == 1
        assert connector.facts()["queue_pauses"] >= 1
        assert connector.facts()["overload_cuts"] == 0


async def test_bytes_bound_the_queue_too() -> None:
    settings = small(queue_bytes=1_000_000)
    async with FakeExchange(ToyDialect(), ledger=False) as server, connect(ToyFeed(server.url), settings) as connector:
        frames = connector.frames()
        first = asyncio.ensure_future(anext(frames))
        await server.wait_subscribed({AAA})
        large = [b'{"s":"' + b"x" * 50_000 + b'"}'] * 400
        sending = asyncio.create_task(server.send(AAA, large))
        got = len(await first)
        await asyncio.sleep(0.1)
        assert connector.facts()["queue_frames"] <= 20 + 262_144 / 50_000 + 1
        while got < 400:
            got += len(await anext(frames))
        await sending


async def test_timers_stand_still_while_we_do_not_read() -> None:
    limits = ConnectionLimits(control_per_second=500, frame_timeout=0.5, data_timeout=0.5)
    server = FakeExchange(ToyDialect(), limits=ServerLimits(ping_interval=0.03))
    async with server, connect(ToyFeed(server.url, limits=limits), small(queue_frames=100)) as connector:
        frames = connector.frames()
        first = asyncio.ensure_future(anext(frames))
        await server.wait_subscribed({AAA})
        await server.send(AAA, trades(0, 300), burst=300)
        seen = ids((await first).frames)
        await server.send(AAA, trades(300, 1000))
        await asyncio.sleep(1)
        assert connector.facts()["connections"] == 1
        while len(seen) < 1300:
            seen += ids((await anext(frames)).frames)
        assert seen == list(range(1300))
        assert server.counts["connects"] == 1


async def test_a_cut_while_we_were_too_slow_is_known_as_overload() -> None:
    server = FakeExchange(ToyDialect(), ledger=False)
    async with server, connect(ToyFeed(server.url), small(queue_frames=100)) as connector:
        frames = connector.frames()
        first = asyncio.ensure_future(anext(frames))
        await server.wait_subscribed({AAA})
        await server.send(AAA, trades(0, 1000))
        seen = ids((await first).frames)
        await server.drop(0, how="abort")
        while server.counts["connects"] < 2:
            seen += ids((await asyncio.wait_for(anext(frames), 60)).frames) if len(seen) < 1000 else []
            await asyncio.sleep(0.01)
        assert seen == list(range(len(seen)))
        assert connector.facts()["overload_cuts"] == 1
        assert "overload" in connector.facts()["last_error"]
