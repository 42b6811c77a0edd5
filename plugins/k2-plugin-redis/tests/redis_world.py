"""A store on a real Redis, a writer that commits what it claims as a pipeline does, and dumps of what Redis holds."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from k2_plugin_redis.settings import RedisSettings
from k2_plugin_redis.store import RedisStore
from redis import Redis

from k2core.plugin import Clock, Context, DedupError, IdentityBatch, Metrics, SystemClock
from k2core.testing import ManualClock
from k2core.testing.conformance.dedup_world import PLACE, START_NS, KnownTable, identities
from tests.services.process import free_port

__all__ = ["SystemClock", "free_port"]


def context(clock: Clock, name: str) -> Context:
    return Context(clock=clock, logger=logging.getLogger("k2.dedup-store.test"), metrics=Metrics(), instance=name)


def store(url: str, clock: Clock, name: str, **settings: Any) -> RedisStore:
    """A store of its own place; the timeout leaves room for a machine that is busy with other tests."""
    made = RedisSettings(url=url, **{"timeout_ms": 5000, "connect_timeout_ms": 5000, **settings})  # type: ignore[arg-type]
    return RedisStore(made, context(clock, name))


class Writer:
    """Claims, commits into a table that knows everything, and settles; a settle that was refused is tried again.

    Args:
        url: Of the Redis.
        table: Survives the writer.
        kind: What is declared of ids.
        name: The place in Redis.
        offset: The table's next offset.
    """

    def __init__(
        self, url: str, table: KnownTable, kind: Any, *, name: str = "sink", offset: int = 0, clock: ManualClock | None = None,
        **settings: Any,
    ) -> None:  # fmt: skip
        self.url = url
        self.clock, self.table, self.kind = clock or ManualClock(START_NS), table, kind
        self.context = context(self.clock, name)
        given = {"timeout_ms": 2000, "connect_timeout_ms": 5000} | settings  # a Redis of a busy machine is not slow
        self.store = RedisStore(RedisSettings(url=url, **given), self.context)  # type: ignore[arg-type]
        self.pending: list[tuple[int, int]] = []
        self.offset = offset
        self.store.assign(PLACE, self.offset, table)

    def batch(self, ids: Sequence[int]) -> IdentityBatch:
        """Records of these ids; opaque ones are texts, each with an event time of its own."""
        named: Sequence[int | str] = ids if self.kind != "opaque" else [f"id-{i}" for i in ids]
        times = [START_NS // 1_000_000 + i for i in ids]
        at = self.clock.now_us()
        return identities(named, self.offset, kind=self.kind, at_us=at, order_ms=times)

    def write(self, ids: Sequence[int]) -> list[bool]:
        """One batch, committed."""
        batch = self.batch(ids)
        new = self.store.claim(batch)
        if new.any():
            self.table.stored.append(batch.where(new))
        self.pending.append((self.offset, self.offset + len(ids)))
        self.offset += len(ids)
        self.settle()
        return [bool(x) for x in new]

    def settle(self) -> None:
        """As the pipeline's `Settling`."""
        while self.pending:
            try:
                self.store.settle(PLACE, *self.pending[0])
            except DedupError:
                return
            del self.pending[0]

    def metric(self, name: str, **labels: str) -> float:
        return self.context.metrics.value(name, **labels)

    @property
    def degraded(self) -> bool:
        return self.metric("k2_dedup_degraded") > 0

    def assert_exact(self, ids: Sequence[int]) -> None:
        """Every id is in the table once."""
        stored = np.concatenate([np.asarray(b.ids).astype(str) for b in self.table.stored]).tolist()
        wanted = {str(i) if self.kind != "opaque" else f"id-{i}" for i in ids}
        assert sorted(stored) == sorted(wanted)


def save(url: str, name: str) -> dict[bytes, bytes]:
    """All keys of one place, as `DUMP` gives them."""
    with Redis.from_url(url) as redis:
        return {key: redis.dump(key) for key in redis.scan_iter(f"k2:{name}:*", count=1000)}


def restore(url: str, name: str, dump: dict[bytes, bytes]) -> None:
    """Make the keys of one place what they were."""
    with Redis.from_url(url) as redis:
        for key in list(redis.scan_iter(f"k2:{name}:*", count=1000)):
            redis.delete(key)
        for key, value in dump.items():
            redis.restore(key, 0, value)


def said(url: str, *command: str) -> None:
    with Redis.from_url(url) as redis:
        redis.execute_command(*command)
