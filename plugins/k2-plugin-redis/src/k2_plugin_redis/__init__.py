"""Redis dedup store for k2: what this plugin offers. Light on purpose; numpy and redis come in with the factory."""

from __future__ import annotations

from collections.abc import Iterable

from k2_plugin_redis.settings import RedisSettings
from k2core.plugin import Component, Context, DedupStore, hookimpl


def _store(settings: RedisSettings, context: Context) -> DedupStore:
    from k2_plugin_redis.store import RedisStore

    return RedisStore(settings, context)


@hookimpl
def k2_dedup_stores() -> Iterable[Component[DedupStore]]:
    """The dedup store `redis`."""
    return [
        Component(
            name="redis",
            summary="exact, in Redis, 24 hours, shared by all writers; goes on in memory while Redis is away",
            settings=RedisSettings,
            factory=_store,
        )
    ]
