"""The Redis store keeps every MUST of a dedup store, with Redis there, and while it is not."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import pytest
import redis_world as world

from k2core.plugin import Clock, DedupStore
from k2core.testing import DedupStoreSuite
from tests.services.fixtures import Address
from tests.services.process import free_port


def named(place: Path) -> str:
    return hashlib.sha1(str(place).encode()).hexdigest()


class TestRedisStore(DedupStoreSuite):
    durable = shared = True
    window_s = 3600
    url = ""
    settings: dict[str, Any] = {}  # noqa: RUF012 - set by subclasses only

    @pytest.fixture(autouse=True)
    def _server(self, redis_server: Address) -> None:
        self.url = redis_server.url

    def open(self, place: Path, clock: Clock) -> DedupStore:
        made = world.store(self.url, clock, named(place), window_hours=self.window_s / 3600, **self.settings)
        return cast("DedupStore", made)

    def save(self, place: Path) -> object:
        return world.save(self.url, named(place))

    def restore(self, place: Path, dump: object) -> None:
        world.restore(self.url, named(place), cast("dict[bytes, bytes]", dump))


class TestRedisStoreInSmallSteps(TestRedisStore):
    """Every claim and settle takes many round trips."""

    settings = {"chunk_ids": 3}  # noqa: RUF012 - see above


class TestRedisStoreWithoutRedis(DedupStoreSuite):
    """Nothing listens at its address: not an answer may differ, and no test may take longer."""

    window_s = 3600

    def open(self, place: Path, clock: Clock) -> DedupStore:
        url = f"redis://127.0.0.1:{free_port()}/0"
        return cast("DedupStore", world.store(url, clock, named(place), window_hours=1, max_ids=6000))
