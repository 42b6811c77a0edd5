"""A Redis Cluster is refused in so many words, before a writer begins and while one runs."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis_world as world

from k2core.plugin import ConfigError, SystemClock
from k2core.testing.conformance.dedup_world import KnownTable
from tests.services.process import free_port
from tests.services.redis import Redis
from tests.services.running import running


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[Redis]:
    redis = Redis(tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with running(redis):
        yield redis


@pytest.mark.parametrize("may_ask", [True, False])
def test_a_cluster_is_refused(server: Redis, caplog: Any, may_ask: bool) -> None:
    if not may_ask:  # then a command's answer tells
        world.said(server.url, "ACL", "SETUSER", "default", "-info")
    with world.store(server.url, SystemClock(), "sink") as store:
        if may_ask:
            with pytest.raises(ConfigError, match=r"dedup\.url: 127.* is a Redis Cluster, which k2 does not use"):
                store.check()
            assert any("a Redis Cluster" in one.detail for one in store.findings() if not one.ok)
    writer = world.Writer(server.url, KnownTable(), "opaque")
    assert writer.write([1, 2, 1]) == [True, True, False]
    assert writer.metric("k2_dedup_degradations_total", reason="refused") == 1
    assert "a Redis Cluster, which k2 does not use: name a primary" in caplog.text
    writer.store.close()
