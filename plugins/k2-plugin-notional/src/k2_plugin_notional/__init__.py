"""The enricher `notional`: the value of a trade in its quote currency. Light on purpose; pyarrow comes with the factory."""

from __future__ import annotations

from collections.abc import Iterable

from k2_plugin_notional.settings import NotionalSettings
from k2core.plugin import Component, Context, Enricher, hookimpl


def _notional(settings: NotionalSettings, context: Context) -> Enricher:
    from k2_plugin_notional.enricher import Notional

    return Notional(settings)


@hookimpl
def k2_enrichers() -> Iterable[Component[Enricher]]:
    """The enricher `notional`."""
    return [
        Component(
            name="notional",
            summary="price × quantity of a trade, and the quote currency it is in",
            settings=NotionalSettings,
            factory=_notional,
        )
    ]
