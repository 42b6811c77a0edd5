"""What `k2 doctor` is told of a Redis: healthy, wrongly set up, full, a replica, frozen, away, and with a user who may not ask."""

from __future__ import annotations

import contextlib
import logging
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from k2_plugin_redis.checks import address, command
from k2_plugin_redis.settings import RedisSettings
from k2_plugin_redis.store import RedisStore
from redis import Redis as Client

from k2core.plugin import Context, DedupAwayError, Finding, Metrics, SystemClock
from tests.services.process import free_port
from tests.services.redis import Redis
from tests.services.running import running

BOUND_S = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """One of our own: its settings are changed, and it is frozen."""
    redis = Redis(tmp_path_factory.mktemp("redis-checks"))
    with running(redis):
        yield redis


def store(url: str, **settings: Any) -> RedisStore:
    given = RedisSettings(url=url, **{"timeout_ms": 2000, **settings})  # type: ignore[arg-type]
    context = Context(clock=SystemClock(), logger=logging.getLogger("k2.test"), metrics=Metrics(), instance="lake")
    return RedisStore(given, context)


def found(url: str, **settings: Any) -> dict[str, Finding]:
    with store(url, **settings) as made:
        return {one.name: one for one in made.findings()}


@contextlib.contextmanager
def set_to(server: Redis, **values: str) -> Iterator[None]:
    with Client.from_url(server.url) as client:
        before = {name: client.config_get(name.replace("_", "-"))[name.replace("_", "-")] for name in values}
        for name, value in values.items():
            client.config_set(name.replace("_", "-"), value)
        yield
        for name, value in reversed(before.items()):
            client.config_set(name.replace("_", "-"), value)


def test_a_healthy_one_is_well_in_every_respect(server: Redis) -> None:
    said = found(server.url)
    assert [one for one in said.values() if not one.ok] == []
    names = {"redis", "redis version", "redis eviction", "redis memory", "redis persistence", "redis clock"}
    assert set(said) == names
    assert f"127.0.0.1:{server.port} answers in" in said["redis"].detail


def test_one_that_drops_keys_is_told_with_the_command_that_mends_it(server: Redis) -> None:
    with set_to(server, maxmemory="100mb", maxmemory_policy="allkeys-lru"):
        one = found(server.url)["redis eviction"]
    repair = f"redis-cli -h 127.0.0.1 -p {server.port} CONFIG SET maxmemory-policy noeviction"
    assert (one.ok, "allkeys-lru" in one.detail, one.repair) == (False, True, repair)
    with Client.from_url(server.url) as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.execute_command(*repair.split()[5:])
        assert found(server.url)["redis eviction"].ok
        client.config_set("maxmemory", "0")


def test_one_that_is_nearly_full_is_told(server: Redis) -> None:
    with Client.from_url(server.url) as client:
        used = int(client.info("memory")["used_memory"])
    with set_to(server, maxmemory=str(int(used * 1.02))):
        one = found(server.url)["redis memory"]
    assert (one.ok, "CONFIG SET maxmemory" in one.repair) == (False, True)


def test_a_replica_takes_no_writes(server: Redis, tmp_path: pathlib.Path) -> None:
    with Redis(tmp_path, "--replicaof", "127.0.0.1", str(server.port)) as replica:
        one = found(replica.url)["redis role"]
    assert (one.ok, f"127.0.0.1:{server.port}" in one.detail) == (False, True)


def test_a_user_who_may_not_ask_is_no_mistake(server: Redis) -> None:
    with Client.from_url(server.url) as client:
        client.execute_command("ACL", "SETUSER", "k2", "on", ">hunter2", "~*", "+@all", "-info")
    url = server.url.replace("//", "//k2:hunter2@")
    said = found(url)
    assert [one for one in said.values() if not one.ok] == []
    assert "may not ask INFO" in said["redis info"].detail
    assert "hunter2" not in str(said)
    wrong = found(url.replace("hunter2", "wrong"))["redis"]
    assert (wrong.ok, "refused" in wrong.detail, "wrong" in wrong.detail.split("refused")[0]) == (False, True, False)


def test_frozen_and_away_are_told_in_time(server: Redis) -> None:
    with server.frozen():
        began = time.monotonic()
        one = found(server.url, timeout_ms=200)["redis"]
        assert time.monotonic() - began < BOUND_S
    assert (one.ok, "slow" in one.detail) == (False, True)
    one = found(f"redis://127.0.0.1:{free_port()}/0")["redis"]
    assert (one.ok, "away" in one.detail, one.repair.startswith("start Redis")) == (False, True, True)


def test_a_writer_that_may_not_do_without_refuses_to_begin(server: Redis) -> None:
    away = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    with store(away) as made:
        made.check()  # goes on in memory
    with store(away, on_failure="stop") as made, pytest.raises(DedupAwayError, match="nothing is written") as said:
        made.check()
    assert "hunter2" not in str(said.value)
    with store(server.url, on_failure="stop") as made:
        made.check()


def test_commands_fit_the_address() -> None:
    def typed(url: str) -> str:
        return command(RedisSettings(url=url), "PING")  # type: ignore[arg-type]

    assert typed("redis://me:secret@h:1/0") == "redis-cli -h h -p 1 --user me --askpass PING"
    assert typed("rediss://h") == "redis-cli -h h -p 6379 --tls PING"
    assert typed("unix:///run/r.sock") == "redis-cli -s /run/r.sock PING"
    assert address(RedisSettings(url="unix:///run/r.sock")) == "/run/r.sock"  # type: ignore[arg-type]
