"""In-memory dedup store for k2: what this plugin offers. Light on purpose; numpy comes in with the factory."""

from __future__ import annotations

from collections.abc import Iterable

from k2_plugin_memory.settings import MemorySettings
from k2core.plugin import Component, Context, DedupStore, hookimpl


def _store(settings: MemorySettings, context: Context) -> DedupStore:
    from k2_plugin_memory.store import MemoryStore

    return MemoryStore(settings, context.clock, context.metrics)


@hookimpl
def k2_dedup_stores() -> Iterable[Component[DedupStore]]:
    """The dedup store `memory`."""
    return [
        Component(
            name="memory",
            summary="exact, in the writer's own memory; older identities are looked up in the table",
            settings=MemorySettings,
            factory=_store,
        )
    ]
