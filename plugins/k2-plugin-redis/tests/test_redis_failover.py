"""A replica takes over from its primary, with all of the writes and without the last; an old dump is put back."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis_servers as servers
import redis_world as world

from k2core.testing.conformance.dedup_world import KnownTable
from tests.services.process import UnavailableError
from tests.services.redis import Redis
from tests.services.running import running

KINDS = ["contiguous", "opaque"]
Pair = tuple[Redis, Redis]


@pytest.fixture
def pair(tmp_path: pathlib.Path) -> Iterator[Pair]:
    try:
        with servers.pair(tmp_path) as two:
            yield two
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def relay(pair: Pair) -> Iterator[Any]:
    made = servers.Relay(pair[0].port)
    yield made
    made.close()


def moved(relay: Any, pair: Pair, *, alive: bool) -> None:
    """The address leads to the replica, which is the primary now; the old one is dead, or a replica itself."""
    first, second = pair
    servers.promote(second)
    relay.target = second.port
    if alive:
        servers.said(first, "REPLICAOF", "127.0.0.1", second.port)
    else:
        first.kill()


def ends_exact(writer: Any, table: KnownTable, ids: list[int]) -> None:
    """Redis is used again, answers rightly, and so does a later owner."""
    writer.clock.advance(60)
    top = max(ids)
    assert writer.write([top + 1, *ids]) == [True] + [False] * len(ids)
    assert writer.write([top + 1, top + 2]) == [False, True]
    assert writer.write([top + 2]) == [False]
    assert not writer.degraded
    writer.assert_exact([*ids, top + 1, top + 2])
    writer.store.close()
    after = world.Writer(writer.url, table, writer.kind, offset=writer.offset)
    assert after.write([*ids, top + 1, top + 2, top + 3]) == [False] * (len(ids) + 2) + [True]
    assert not after.degraded
    after.store.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alive", [False, True], ids=["killed", "demoted"])
@pytest.mark.parametrize("lost", [False, True], ids=["in step", "behind"])
def test_a_replica_takes_over(pair: Pair, relay: Any, kind: Any, alive: bool, lost: bool) -> None:
    table = KnownTable()
    writer = world.Writer(relay.url, table, kind)
    assert writer.write([1, 2, 3]) == [True] * 3
    servers.in_step(*pair)
    if lost:
        servers.cut_off(pair[1])
    assert writer.write([4, 2, 5]) == [True, False, True]
    if not lost:
        servers.in_step(*pair)
    moved(relay, pair, alive=alive)
    assert writer.write([6, 5, 4, 1, 8]) == [True, False, False, False, True]
    if lost or alive:  # one in step may be used on at once
        assert writer.degraded
    ends_exact(writer, table, [1, 2, 3, 4, 5, 6, 8])


@pytest.mark.parametrize("kind", KINDS)
def test_the_writer_dies_with_the_primary(pair: Pair, relay: Any, kind: Any) -> None:
    table = KnownTable()
    first = world.Writer(relay.url, table, kind)
    first.write([1, 2, 3])
    servers.in_step(*pair)
    servers.cut_off(pair[1])
    first.write([4, 9, 5])
    moved(relay, pair, alive=False)
    second = world.Writer(relay.url, table, kind, offset=first.offset)
    first.store.close()
    assert second.write([5, 6, 4, 3, 9]) == [False, True, False, False, False]
    assert not second.degraded, "what the replica lacks is loaded from the table"
    ends_exact(second, table, [1, 2, 3, 4, 5, 6, 9])


def test_nobody_reads_what_an_old_primary_still_says(pair: Pair, relay: Any) -> None:
    """Cut off from its replica and not knowing it, it serves the writer on; then its place is taken."""
    table = KnownTable()
    writer = world.Writer(relay.url, table, "opaque")
    writer.write([1, 2])
    servers.in_step(*pair)
    servers.cut_off(pair[1])
    servers.promote(pair[1])
    writer.write([3, 4])
    other = world.Writer(pair[1].url, table, "opaque", offset=writer.offset)  # a second writer sees the new one
    assert other.write([4, 5]) == [False, True]
    servers.said(pair[0], "REPLICAOF", "127.0.0.1", pair[1].port)
    relay.target = pair[1].port
    writer.pending.append((writer.offset, writer.offset))
    writer.settle()
    assert other.write([3, 6]) == [False, True]
    assert not other.degraded
    other.assert_exact([1, 2, 3, 4, 5, 6])
    for one in (writer, other):
        one.store.close()


@pytest.mark.parametrize("password", ["", "hunter2"])
def test_sentinels_say_where_the_primary_is(pair: Pair, tmp_path: pathlib.Path, password: str) -> None:
    with servers.Sentinel(tmp_path, pair[0], password) as sentinel:
        servers.until(lambda: sentinel.replicas() == 1)
        table = KnownTable()
        dead = f"127.0.0.1:{world.free_port()}"
        settings = {"sentinels": (dead, f"127.0.0.1:{sentinel.port}"), "sentinel_password": password}
        writer = world.Writer("redis://Main/0", table, "opaque", **settings)
        assert writer.write([1, 2, 1]) == [True, True, False]
        assert not writer.degraded
        servers.in_step(*pair)
        pair[0].freeze()
        assert writer.write([3, 2]) == [True, False]
        assert writer.degraded
        servers.until(lambda: sentinel.primary() == pair[1].port)
        writer.clock.advance(60)
        servers.until(lambda: _again(writer))
        assert writer.write([4, 3, 1, 2]) == [True, False, False, False]
        pair[0].thaw()
        assert writer.write([5, 4]) == [True, False]
        assert not writer.degraded
        writer.assert_exact([1, 2, 3, 4, 5])
        writer.store.close()


def _again(writer: Any) -> bool:
    """The promoted one may not take writes at once."""
    writer.clock.advance(60)
    writer.store.evict(writer.clock.now_us())
    return not writer.degraded


def test_no_sentinel_knows(tmp_path: pathlib.Path, pair: Pair) -> None:
    with servers.Sentinel(tmp_path, pair[0], "hunter2") as sentinel:
        place, dead = f"127.0.0.1:{sentinel.port}", f"127.0.0.1:{world.free_port()}"

        def told(name: str, password: str = "hunter2") -> str:
            settings = {"sentinels": (dead, place), "sentinel_password": password}
            made = world.store(f"redis://:hunter3@{name}/0", world.SystemClock(), "sink", **settings)
            with made:
                return "\n".join(one.detail for one in made.findings() if not one.ok)

        unknown = told("other")
        assert f"no Sentinel says where the primary 'other' is ({dead}: " in unknown
        assert f"{place}: knows no primary of this name" in unknown
        refused = told("Main", "wrong")
        assert "invalid" in refused or "WRONGPASS" in refused
        assert not any(secret in unknown + refused for secret in ("hunter", ": wrong"))


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[Redis]:
    redis = Redis(tmp_path)
    with running(redis):
        yield redis


@pytest.mark.parametrize("owner", ["same", "another"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_old_dump_is_put_back(server: Redis, kind: Any, owner: str) -> None:
    table = KnownTable()
    writer = world.Writer(server.url, table, kind)
    writer.write([1, 2, 3])
    servers.said(server, "SAVE")
    if owner == "another":
        writer.store.close()
        writer = world.Writer(server.url, table, kind, offset=writer.offset)
    assert writer.write([4, 2, 7]) == [True, False, True]
    assert not writer.degraded
    server.kill()
    server.start()  # finds the dump in its folder
    assert writer.write([8, 7, 4, 1]) == [True, False, False, False]
    assert writer.degraded
    ends_exact(writer, table, [1, 2, 3, 4, 7, 8])
