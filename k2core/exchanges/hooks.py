"""`exchange_hooks`: the three hooks of a plugin for one exchange, whose parts are imported when they are made."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from k2core.component import Component, Context, Settings
from k2core.hookspecs import hookimpl
from k2core.interfaces.connector import WebSocketFeed
from k2core.interfaces.frames import ConnectorFacts
from k2core.interfaces.normalizer import Normalizer


class ExchangeHooks(NamedTuple):
    """To be assigned to these names in the plugin's entry module."""

    k2_connectors: Callable[[], list[Component[WebSocketFeed]]]
    k2_normalizers: Callable[[], list[Component[Normalizer]]]
    k2_local_exchanges: Callable[[], list[Component[object]]]


def exchange_hooks(
    package: str,
    facts: ConnectorFacts,
    *,
    title: str,
    settings: type[Settings],
    feed: str,
    normalizer: str,
    local_settings: type[Settings],
    local: str,
) -> ExchangeHooks:
    """Hooks that offer an exchange's feed, normalizer and local exchange, all named like the exchange.

    Args:
        package: The plugin's package: `__name__`.
        facts: What holds for the exchange's channels.
        title: How people call it, for `k2 plugins`.
        settings: Of the feed.
        feed: Where its class is, within the package, as `feed:CoinFeed`; made with settings and context.
        normalizer: The normalizer's, made without anything.
        local_settings: Of the local exchange.
        local: The local exchange's, made with its settings and `clock`.
    """

    def offered(summary: str, model: type[Settings], factory: Callable[[Any, Context], Any], **more: Any) -> Any:
        factory.__module__ = package  # where the plugin is light to import, as if the author had written it there
        found = [Component(name=facts.exchange, summary=summary, settings=model, factory=factory, **more)]
        return hookimpl(lambda: found)

    return ExchangeHooks(
        offered(f"{title}: " + " and ".join(facts.channels), settings,
                lambda given, context: _at(package, feed)(given, context), capabilities=facts),
        offered(f"{title}: frames to records", Settings, lambda given, context: _at(package, normalizer)()),
        offered(f"{title}, played on this machine in its own protocol", local_settings,
                lambda given, context: _at(package, local)(given, clock=context.clock)),
    )  # fmt: skip


def _at(package: str, place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"{package}.{module}"), name)
