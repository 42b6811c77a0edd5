"""Each thing that happens to a Redis, one at a time: what is stored stays exact, it is told, and it passes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis_servers as servers
import redis_world as world
from redis import Redis as Client

from k2core.plugin import DedupError
from k2core.testing.conformance.dedup_world import PLACE, KnownTable
from tests.services.redis import Redis
from tests.services.running import running

Fault = Callable[[Redis, Any], contextlib.AbstractContextManager[None]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """One of our own: it is killed, frozen and filled."""
    redis = Redis(tmp_path_factory.mktemp("redis-faults"))
    with running(redis):
        yield redis


def said(server: Redis, *command: str) -> None:
    with Client.from_url(server.url) as client:
        client.execute_command(*command)


@contextlib.contextmanager
def killed(server: Redis, _: Any) -> Iterator[None]:
    server.kill()
    yield
    server.start()


@contextlib.contextmanager
def frozen(server: Redis, _: Any) -> Iterator[None]:
    with server.frozen():
        yield


@contextlib.contextmanager
def paused(server: Redis, _: Any) -> Iterator[None]:
    said(server, "CLIENT", "PAUSE", "4500", "ALL")
    yield
    said(server, "PING")  # answered when the pause ends


@contextlib.contextmanager
def full(server: Redis, _: Any) -> Iterator[None]:
    said(server, "CONFIG", "SET", "maxmemory", "1")
    yield
    said(server, "CONFIG", "SET", "maxmemory", "0")


@contextlib.contextmanager
def flushed(server: Redis, _: Any) -> Iterator[None]:
    said(server, "FLUSHALL")
    yield


@contextlib.contextmanager
def read_only(server: Redis, _: Any) -> Iterator[None]:
    said(server, "CONFIG", "SET", "replica-serve-stale-data", "yes")
    said(server, "REPLICAOF", "127.0.0.1", "1")
    yield
    said(server, "REPLICAOF", "NO", "ONE")


@contextlib.contextmanager
def old_dump(server: Redis, dump: Any) -> Iterator[None]:
    world.restore(server.url, "sink", dump)
    yield


@contextlib.contextmanager
def a_key_gone(server: Redis, _: Any) -> Iterator[None]:
    with Client.from_url(server.url) as client:
        key = next(k for k in client.scan_iter("k2:sink:*") if not k.endswith(b":meta"))
        client.delete(key)
    yield


@contextlib.contextmanager
def restarted_empty(server: Redis, _: Any) -> Iterator[None]:
    server.kill()
    server.start()
    yield


FAULTS: list[tuple[Fault, set[str]]] = [
    (killed, {"away"}), (frozen, {"slow"}), (paused, {"slow"}), (full, {"full"}), (flushed, {"lost"}),
    (read_only, {"refused"}), (old_dump, {"lost"}), (a_key_gone, {"lost"}), (restarted_empty, {"lost", "away"}),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["contiguous", "increasing", "opaque"])
@pytest.mark.parametrize(("fault", "reasons"), FAULTS, ids=[f.__name__ for f, _ in FAULTS])
def test_nothing_is_lost_or_doubled(server: Redis, fault: Fault, reasons: set[str], kind: Any) -> None:
    said(server, "FLUSHALL")
    table = KnownTable()
    writer = world.Writer(server.url, table, kind)
    assert writer.write([1, 2, 3]) == [True] * 3
    dump = world.save(server.url, "sink")
    assert writer.write([10, 11, 12, 2]) == [True, True, True, False]
    assert not writer.degraded
    with fault(server, dump):
        assert writer.write([13, 2, 14, 13, 11]) == [True, False, True, False, False]
        assert writer.write([1, 14, 15, 4]) == [False, False, True, True]
        assert writer.degraded
        counted = writer.context.metrics.snapshot()
        assert {dict(ls)["reason"] for n, ls, _ in counted if n == "k2_dedup_degradations_total"} <= reasons
    writer.clock.advance(60)
    assert writer.write([15, 16, 2, 4]) == [False, True, False, False]
    assert not writer.degraded
    assert writer.write([17, 16, 5, 12]) == [True, False, True, False]
    writer.assert_exact([1, 2, 3, 4, 5, *range(10, 18)])
    writer.store.close()
    after = world.Writer(server.url, table, kind, offset=writer.offset)
    assert after.write([*range(1, 19)]) == [i in (6, 7, 8, 9, 18) for i in range(1, 19)]
    assert not after.degraded
    after.store.close()


@pytest.mark.parametrize("kind", ["contiguous", "opaque"])
def test_a_writer_starts_without_redis_and_takes_it_when_it_comes(server: Redis, kind: Any) -> None:
    said(server, "FLUSHALL")
    table = KnownTable()
    server.kill()
    try:
        writer = world.Writer(server.url, table, kind)
        assert writer.write([1, 2, 2, 4]) == [True, True, False, True]
        assert writer.degraded
    finally:
        server.start()
    writer.clock.advance(60)
    assert writer.write([2, 3, 5]) == [False, True, True]
    assert not writer.degraded
    assert writer.write([5, 3, 1]) == [False] * 3
    writer.store.close()


def test_a_redis_that_drops_keys_of_its_own_accord_is_not_used(server: Redis) -> None:
    said(server, "CONFIG", "SET", "maxmemory", "1gb")
    said(server, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        writer = world.Writer(server.url, KnownTable(), "opaque")
        assert writer.write([1, 1]) == [True, False]
        assert writer.metric("k2_dedup_degradations_total", reason="evicting") == 1
    finally:
        said(server, "CONFIG", "SET", "maxmemory-policy", "noeviction")
        said(server, "CONFIG", "SET", "maxmemory", "0")
    writer.store.close()


def test_by_choice_nothing_is_claimed_while_redis_is_away(server: Redis) -> None:
    said(server, "FLUSHALL")
    table = KnownTable()
    writer = world.Writer(server.url, table, "contiguous", on_failure="stop")
    writer.write([1, 2])
    first = writer.batch([3, 4])
    assert writer.store.claim(first).all()
    table.stored.append(first)
    server.kill()
    with pytest.raises(DedupError, match="nothing is claimed"):
        writer.store.settle(PLACE, 2, 4)
    writer.offset = 4
    for _ in range(2):
        with pytest.raises(DedupError, match="on_failure"):
            writer.store.claim(writer.batch([3, 5]))
    server.start()
    writer.clock.advance(60)
    assert writer.store.claim(writer.batch([3, 5])).tolist() == [False, True]
    writer.store.settle(PLACE, 2, 4)
    assert not writer.degraded
    writer.store.close()


def test_what_a_frozen_redis_finds_in_its_socket_afterwards_writes_nothing(server: Redis) -> None:
    said(server, "FLUSHALL")
    table = KnownTable()
    writer = world.Writer(server.url, table, "opaque")
    writer.write([1, 2])
    with server.frozen():
        writer.write([3])
    writer.clock.advance(60)
    second = world.Writer(
        server.url, KnownTable(*table.stored[:1]), "opaque", offset=2
    )  # the table was rolled back meanwhile
    assert second.write([3, 1]) == [True, False]
    second.store.close()
    writer.store.close()


@pytest.mark.parametrize("kind", ["contiguous", "increasing"])
def test_a_key_that_is_gone_is_noticed_by_a_settle_too(server: Redis, kind: Any) -> None:
    said(server, "FLUSHALL")
    writer = world.Writer(server.url, KnownTable(), kind)
    writer.write([1, 2, 3])
    with a_key_gone(server, None):
        assert writer.write([10, 11]) == [
            True,
            True,
        ]  # rising ids are not asked for; the settle would make the key anew
    assert writer.write([2, 12, 4]) == [False, True, True]
    writer.store.close()


@pytest.mark.parametrize("kind", ["contiguous", "increasing", "opaque"])
def test_what_left_the_window_is_known_to_the_next_owner(server: Redis, kind: Any) -> None:
    said(server, "FLUSHALL")
    table = KnownTable()
    writer = world.Writer(server.url, table, kind, window_hours=1, rebuild_minutes=1)
    writer.write([1, 2, 9])
    writer.clock.advance(3 * 3600)
    writer.store.evict(writer.clock.now_us())
    assert len(world.save(server.url, "sink")) == 1, "the slot is gone, its mark is not"
    writer.store.close()
    after = world.Writer(
        server.url, table, kind, offset=writer.offset, clock=writer.clock, window_hours=1, rebuild_minutes=1
    )
    assert after.write([2, 3, 9, 10]) == [False, True, False, True]
    after.store.close()


@pytest.mark.parametrize("kind", ["contiguous", "opaque"])
def test_a_slow_way_to_redis_is_left_and_taken_again(server: Redis, kind: Any) -> None:
    said(server, "FLUSHALL")
    relay = servers.Relay(server.port)
    writer = world.Writer(relay.url, KnownTable(), kind, timeout_ms=1000)
    assert writer.write([1, 2, 3]) == [True] * 3
    relay.delay_s = 0.02
    assert writer.write([4, 3]) == [True, False]
    assert not writer.degraded, "slow, but not too slow"
    relay.delay_s = 2.5
    before = relay.delayed
    for k in range(50):
        assert writer.write([10 + k, 3, 4]) == [True, False, False]
    assert relay.delayed - before < 50 / 4, "it is not asked again and again"
    assert writer.metric("k2_dedup_degradations_total", reason="slow") == 1
    relay.delay_s = 0.0
    writer.clock.advance(60)
    assert writer.write([10, 60, 1]) == [False, True, False]
    assert not writer.degraded
    assert writer.write([60, 61, 11]) == [False, True, False], "no late answer is taken for another's"
    writer.assert_exact([1, 2, 3, 4, *range(10, 62)])
    writer.store.close()
    relay.close()
