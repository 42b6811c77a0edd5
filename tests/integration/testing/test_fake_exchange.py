"""The fake exchange does what its script says: limits are enforced, the ledger is true, faults hit whom they name."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from k2core.testing import FakeExchange, ServerLimits
from tests.integration.feed.toy_exchange import ToyDialect, trades

AAA = "AAA@trades"


async def subscribe(client: ClientConnection, *streams: str) -> str | bytes:
    await client.send(json.dumps({"op": "sub", "streams": streams, "id": 1}))
    return await client.recv()


async def ends(client: ClientConnection, within: float = 60) -> int | None:
    async with asyncio.timeout(within):
        try:
            async for _ in client:
                pass
        except ConnectionClosed:
            return client.close_code
    return client.close_code


async def test_the_ledger_holds_what_was_written_and_to_whom() -> None:
    async with FakeExchange(ToyDialect()) as server, connect(f"{server.url}/ws") as one, connect(server.url) as two:
        assert await subscribe(one, AAA) == '{"ack":1}'
        await subscribe(two, "BBB@trades")
        assert await server.send(AAA, trades(0, 3)) == 1
        assert await server.send("CCC@trades", trades(0, 3)) == 0
        assert server.sent == [(0, f) for f in trades(0, 3)]
        assert [await one.recv(decode=False) for _ in range(3)] == trades(0, 3)
        assert [c.streams for c in server.connections] == [{AAA}, {"BBB@trades"}]
        assert (server.counts["frames"], server.connection(0).frames) == (3, 3)
        assert server.received[0][1].startswith(b'{"op"')


async def test_a_rate_is_kept() -> None:
    async with FakeExchange(ToyDialect()) as server, connect(server.url, max_queue=None) as client:
        await subscribe(client, AAA)
        start = time.monotonic()
        await server.send(AAA, trades(0, 100), rate=500)
        assert 0.15 <= time.monotonic() - start <= 30


async def test_limits_are_enforced() -> None:
    limits = ServerLimits(streams_per_connection=2, control_per_second=5)
    async with FakeExchange(ToyDialect(), limits=limits) as server:
        async with connect(server.url) as greedy:
            await greedy.send(json.dumps({"op": "sub", "streams": ["A", "B", "C"], "id": 1}))
            assert await ends(greedy) == 1008
        async with connect(server.url) as chatty:
            for _ in range(6):
                await chatty.pong()
            assert await ends(chatty) == 1008
        assert server.counts["kicked"] == 2


async def test_connects_have_a_budget_and_handshakes_can_be_refused() -> None:
    async with FakeExchange(ToyDialect(), limits=ServerLimits(connects_per_window=2)) as server:
        server.refuse_next(503, {"X-Why": "because"})
        with pytest.raises(InvalidStatus) as refused:
            await connect(server.url).__aenter__()
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["X-Why"] == "because"
        async with connect(server.url), connect(server.url):
            with pytest.raises(InvalidStatus) as over:
                await connect(server.url).__aenter__()
            assert (over.value.response.status_code, over.value.response.headers["Retry-After"]) == (429, "1")


@pytest.mark.parametrize(("how", "code"), [("close", 4001), ("abort", 1006), ("reset", 1006)])
async def test_a_drop_ends_the_connection_it_names_as_it_says(how: str, code: int) -> None:
    async with FakeExchange(ToyDialect()) as server, connect(server.url) as one, connect(server.url) as two:
        await server.wait_until(lambda: len(server.connections) == 2)
        await server.drop(0, how=how, code=4001)  # type: ignore[arg-type]
        assert await ends(one) == code
        assert [c.number for c in server.connections] == [1]
        await subscribe(two, AAA)


async def test_a_silent_connection_stays_open_and_says_nothing() -> None:
    limits = ServerLimits(ping_interval=0.01)
    quick = {"ping_interval": None, "close_timeout": 0.1}
    async with FakeExchange(ToyDialect(), limits=limits) as server, connect(server.url, **quick) as client:
        await subscribe(client, AAA)
        await server.drop(0, how="silent")
        while True:  # what was on its way before
            try:
                await asyncio.wait_for(client.recv(), 0.1)
            except TimeoutError:
                break
        await client.send("anyone?")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.recv(), 0.1)
        assert server.connection(0).open


async def test_connections_end_at_their_age_and_rest_shares_the_port() -> None:
    async with FakeExchange(ToyDialect(), limits=ServerLimits(max_age=0.1)) as server, connect(server.url) as client:
        url = f"{server.rest_url}/symbols"
        body = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read())
        assert json.loads(body)[0] == "AAA"
        assert await ends(client) == 1001


@pytest.mark.parametrize("compression", [False, True])
async def test_a_client_that_ended_its_side_takes_nothing_and_raises_nothing(compression: bool) -> None:
    async with FakeExchange(ToyDialect(), compression=compression) as server, connect(server.url) as client:
        await subscribe(client, AAA)
        served = server.connection(0)
        before = server.counts["frames"]
        client.transport.write_eof()
        taken = [len(trades(0, 3))]
        async with asyncio.timeout(60):
            while taken[-1]:  # until the server has read the client's end
                taken.append(await served.send(trades(0, 3)))
                await asyncio.sleep(0)
        assert taken[-1] == 0
        assert server.counts["frames"] - before == sum(taken[1:])


async def test_a_connection_that_is_just_closing_takes_nothing_and_raises_nothing() -> None:
    async with FakeExchange(ToyDialect()) as server, connect(server.url) as client:
        await subscribe(client, AAA)
        client.transport.pause_reading()
        closing = asyncio.create_task(server.drop(0))
        await asyncio.sleep(0)
        assert await server.connection(0).send(trades(0, 3)) == 0
        client.transport.resume_reading()
        await closing
        assert await ends(client) == 1001
