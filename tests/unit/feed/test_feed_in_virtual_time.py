"""Back-off, budget, timers and roll-over over hours and days, in virtual time."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from k2core.feed.settings import FeedSettings
from k2core.interfaces.connector import ConnectionLimits
from tests.integration.feed.toy_exchange import ToyFeed, ids, trade
from tests.unit.feed.virtual_exchange import DAY, Driven, MemoryExchange, Opcode, Peer, driven, virtually

URL = "ws://exchange.test"


def now() -> float:
    return asyncio.get_running_loop().time()


def gaps(times: list[float]) -> list[float]:
    return [b - a for a, b in pairwise(times)]


def test_an_exchange_that_is_away_for_a_day_is_tried_again_and_again() -> None:
    exchange = MemoryExchange()
    exchange.away = True

    async def script(world: Driven) -> None:
        await asyncio.sleep(DAY)
        exchange.away = False
        await asyncio.sleep(61)
        assert len(exchange.live) == 1

    virtually(lambda: driven(ToyFeed(URL), exchange, script))
    tried = gaps(exchange.dials)
    assert len(tried) > DAY / 60
    assert max(tried) <= 60
    for n, gap in enumerate(tried[:7]):
        assert gap <= 0.5 * 2**n
    late = sorted(tried[10:])
    assert late[len(late) // 10] < 12  # full jitter: spread from nothing …
    assert late[-len(late) // 10] > 48  # … to the cap
    assert 25 < sum(late) / len(late) < 35


@pytest.mark.parametrize(("lives", "with_data", "resets"), [(11, True, True), (9, True, False), (11, False, False)])
def test_back_off_resets_only_after_a_stable_connection_with_data(lives: float, with_data: bool, resets: bool) -> None:
    exchange = MemoryExchange()

    def live_shortly(peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        if with_data:
            loop.call_later(1, peer.send, trade(peer.number))
        loop.call_later(lives, peer.cut)

    exchange.on_welcome = live_shortly

    async def script(world: Driven) -> None:
        await asyncio.sleep(3600)

    virtually(lambda: driven(ToyFeed(URL), exchange, script))
    pauses = [b.at - (a.ended_at or 0) for a, b in pairwise(exchange.peers)]
    assert len(pauses) > 20
    assert (max(pauses) <= 0.5) is resets


def test_all_connections_of_a_feed_share_one_budget() -> None:
    exchange = MemoryExchange()
    exchange.on_welcome = lambda peer: peer.cut()
    limits = ConnectionLimits(streams_per_connection=1, connects_per_window=10, connect_window=100)

    async def script(world: Driven) -> None:
        await asyncio.sleep(3600)

    feed = ToyFeed(URL, [f"S{i}" for i in range(20)], limits=limits)
    virtually(lambda: driven(feed, exchange, script, FeedSettings(backoff_max_s=1)))
    dials = exchange.dials
    assert len(dials) >= 350  # the budget is used
    assert all(dials[i + 10] - dials[i] >= 100 - 1e-6 for i in range(len(dials) - 10))


@pytest.mark.parametrize("status", [429, 418])
def test_retry_after_holds_every_connection_of_the_feed(status: int) -> None:
    exchange = MemoryExchange()
    exchange.refusals = [(status, {"Retry-After": "600"})]
    feed = ToyFeed(URL, ["AAA", "BBB"], limits=ConnectionLimits(streams_per_connection=1))

    async def script(world: Driven) -> None:
        await asyncio.sleep(1)
        exchange.peers[1].cut()
        await asyncio.sleep(640)
        assert len(exchange.live) == 2

    virtually(lambda: driven(feed, exchange, script))
    assert len([d for d in exchange.dials if d < 600]) == 2
    assert len(exchange.dials) == 4


@pytest.mark.parametrize("bad", ["soon", "-5", "nan", "inf"])
def test_a_retry_after_that_says_nothing_is_ignored(bad: str) -> None:
    exchange = MemoryExchange()
    exchange.refusals = [(429, {"Retry-After": bad})]

    async def script(world: Driven) -> None:
        await asyncio.sleep(2)
        assert len(exchange.live) == 1

    virtually(lambda: driven(ToyFeed(URL), exchange, script))
    assert len(exchange.dials) == 2


def test_ten_days_of_rolling_over_lose_nothing() -> None:
    exchange, sent = MemoryExchange(), 0
    feed = ToyFeed(URL, limits=ConnectionLimits(max_age=DAY, frame_timeout=600))

    async def script(world: Driven) -> None:
        nonlocal sent
        await asyncio.sleep(1)
        while now() < 10 * DAY:
            for peer in exchange.live:
                peer.send(trade(sent))
            sent += 1
            await asyncio.sleep(300)

    world = virtually(lambda: driven(feed, exchange, script))
    assert {i for b in world.batches for i in ids(b.frames)} == set(range(sent))
    assert 10 <= len(exchange.peers) <= 12
    for old, new in pairwise(exchange.peers):
        assert old.ended_at is not None
        assert 0.9 * DAY <= new.at - old.at <= DAY + 1
        assert new.at + 1 <= old.ended_at <= new.at + 310  # made, fed and overlapped before the old one was broken
    assert world.connector.facts()["reconnects"] == 0


def test_replacements_that_die_are_made_again_while_the_old_connection_runs() -> None:
    exchange = MemoryExchange()

    def die_unfed(peer: Peer) -> None:
        exchange.acks = peer.number not in (1, 2, 3)
        if not exchange.acks:
            asyncio.get_running_loop().call_later(0.2, peer.cut)

    exchange.on_welcome = die_unfed

    async def script(world: Driven) -> None:
        await asyncio.sleep(1)
        exchange.peers[0].send(b'{"bye":1}')
        for at in range(30):
            await asyncio.sleep(1)
            exchange.live[0].send(trade(at))

    world = virtually(lambda: driven(ToyFeed(URL), exchange, script))
    assert [i for b in world.batches for i in ids(b.frames)] == list(range(30))
    assert len(exchange.peers) == 5
    assert exchange.peers[0].ended_at is not None
    assert exchange.peers[0].ended_at > exchange.peers[4].at


def test_silence_of_any_kind_and_silence_of_data_have_timers_of_their_own() -> None:
    for limits, pings, ended in (
        (ConnectionLimits(frame_timeout=60), False, 60),
        (ConnectionLimits(frame_timeout=60), True, None),
        (ConnectionLimits(frame_timeout=60, data_timeout=90), True, 90),
    ):
        exchange = MemoryExchange()

        async def script(world: Driven, exchange: MemoryExchange = exchange, pings: bool = pings) -> None:
            while now() < 150:
                await asyncio.sleep(20)
                if pings:
                    exchange.live[-1].ping()

        virtually(lambda e=exchange, m=limits, s=script: driven(ToyFeed(URL, limits=m), e, s))
        if ended is None:
            assert len(exchange.peers) == 1
        else:
            assert exchange.peers[0].ended_at == pytest.approx(ended, abs=0.5)


def test_control_messages_are_spaced_and_pongs_go_first() -> None:
    exchange = MemoryExchange()
    exchange.acks = False
    feed = ToyFeed(URL, limits=ConnectionLimits(control_per_second=5, ack_timeout=1000))

    async def script(world: Driven) -> None:
        await asyncio.sleep(1)
        for _ in range(50):
            exchange.peers[0].ping()
            await asyncio.sleep(0.05)
        await asyncio.sleep(5)

    virtually(lambda: driven(feed, exchange, script))
    times = [at for at, opcode, _ in exchange.peers[0].received if opcode in (Opcode.PONG, Opcode.TEXT)]
    assert min(gaps(times)) >= 0.2
    assert 10 <= len(times) <= 14
    assert times[-1] <= 4  # the newest ping is answered, the older ones need not be


def test_an_unanswered_subscription_costs_one_connection_each_ack_timeout() -> None:
    exchange = MemoryExchange()
    exchange.acks = False

    async def script(world: Driven) -> None:
        await asyncio.sleep(300)
        assert world.connector.facts()["unacknowledged"] >= 5

    virtually(lambda: driven(ToyFeed(URL, limits=ConnectionLimits(ack_timeout=10)), exchange, script))
    assert all((p.ended_at or 0) - p.at == pytest.approx(10, abs=0.1) for p in exchange.peers[:-1])


def test_the_same_seed_is_the_same_run() -> None:
    def run(seed: int) -> list[float]:
        exchange = MemoryExchange()
        exchange.away = True

        async def script(world: Driven) -> None:
            await asyncio.sleep(1000)

        virtually(lambda: driven(ToyFeed(URL), exchange, script, seed=seed))
        return exchange.dials

    assert run(1) == run(1) != run(2)


def test_closing_waits_for_no_exchange_that_is_still_asked_which_symbols_it_knows() -> None:
    class Silent(ToyFeed):
        async def check(self, rest: object) -> frozenset[object]:
            await asyncio.sleep(DAY)
            return frozenset()

    async def script(world: Driven) -> None:
        await asyncio.sleep(5)

    async def until_read_to_the_end() -> float:
        await driven(Silent(URL), MemoryExchange(), script, FeedSettings(check_timeout_s=DAY))
        return now()

    assert virtually(until_read_to_the_end) < 6


def test_what_we_close_ourselves_is_not_the_exchanges_doing(caplog: pytest.LogCaptureFixture) -> None:
    async def script(world: Driven) -> None:
        await asyncio.sleep(5)
        assert len(world.exchange.live) == 1

    with caplog.at_level("INFO", "k2.toy"):
        world = virtually(lambda: driven(ToyFeed(URL), MemoryExchange(), script))
    (opened, line) = caplog.messages
    assert opened == f"connection 0 to {URL}/ws is open"
    assert line.endswith(": closed by us")
    assert world.connector.facts()["last_error"] == ""
    assert world.connector.facts()["overload_cuts"] == 0
