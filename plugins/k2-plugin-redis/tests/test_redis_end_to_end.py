"""A whole k2 with `[dedup] use = "redis"`, while Redis is frozen, killed, filled and flushed, and the writer killed."""

from __future__ import annotations

import pathlib
import signal
from collections.abc import Iterator

import pytest
from redis import Redis as Client

from tests.e2e.capture import Capture, capture, tape, wait_until
from tests.services.redis import Redis
from tests.services.running import running

SETTINGS = """
[ingest]
linger_ms = 20

[dedup]
use = "redis"
url = "{url}"
timeout_ms = 500
retry_s = 0.2
retry_longest_s = 0.5
"""


def said(world: Capture, what: str) -> int:
    return world.output("write").count(what)


def goes_on(world: Capture, writer: object, redis: Redis) -> None:
    """Each fault is noticed and passes; the writer runs through all of them."""
    away, back = "dedup goes on without redis", "dedup has redis again"
    for fault in (freeze, full, kill):
        before, returned = said(world, away), said(world, back)
        end = fault(redis)
        wait_until(f"{fault.__name__} is noticed", lambda n=before: said(world, away) > n, alive=writer)  # type: ignore[misc,arg-type]
        end()
        wait_until(f"{fault.__name__} passes", lambda n=returned: said(world, back) > n, alive=writer)  # type: ignore[misc,arg-type]


def freeze(redis: Redis) -> object:
    redis.freeze()
    return redis.thaw


def kill(redis: Redis) -> object:
    redis.kill()
    return redis.start


def full(redis: Redis) -> object:
    with Client.from_url(redis.url) as client:
        client.config_set("maxmemory", 1)

    def emptied() -> None:
        with Client.from_url(redis.url) as client:
            client.config_set("maxmemory", 0)

    return emptied


@pytest.fixture
def redis(tmp_path: pathlib.Path) -> Iterator[Redis]:
    server = Redis(tmp_path / "redis")
    with running(server):
        yield server


def test_the_table_is_exact_whatever_becomes_of_redis(tmp_path: pathlib.Path, redis: Redis) -> None:
    settings = SETTINGS.format(url=redis.url)
    with capture(tmp_path, tape(recordings=None, trades=4000, seconds=20), settings) as world:
        world.settings.write_text(
            world.settings.read_text().replace("commit_interval_s = 2", "commit_interval_s = 0.5")
        )
        world.start("ingest")
        played = world.exchange.play()
        writer = world.start("write")
        wait_until("both tables are written", lambda: said(world, "writing data_type") == 2, alive=writer)
        goes_on(world, writer, redis)
        writer.kill()
        writer.wait(120)
        last = world.start("write")
        with Client.from_url(redis.url) as client:
            client.flushall()
        played.result(120)
        world.begun("write", last)
        last.send_signal(signal.SIGTERM)
        assert last.wait(120) == 0, world.output("write")
        drain(world)
        for name in ("trades", "quotes"):
            verdict = world.verdict(name)
            assert verdict.ok, f"{name}: {verdict}"
            assert verdict.issued > 100
        assert _keys(redis) > 1


def drain(world: Capture) -> None:
    ingest = world.running[0]
    ingest.send_signal(signal.SIGTERM)
    assert ingest.wait(120) == 0, world.output("ingest")
    assert world.start("write", "--once").wait(120) == 0, world.output("write")


def _keys(redis: Redis) -> int:
    with Client.from_url(redis.url) as client:
        return int(client.dbsize())
