"""Kraken spot for k2: what this plugin offers. Light on purpose; heavy imports wait inside the factories."""

from __future__ import annotations

from collections.abc import Iterable

from k2_plugin_kraken.settings import KrakenSettings, LocalKrakenSettings, NormalizerSettings
from k2core.plugin import ChannelFacts, Component, ConnectorFacts, Context, Normalizer, WebSocketFeed, hookimpl

FACTS = ConnectorFacts(
    exchange="kraken",
    asset_class="crypto",
    channels={"trades": ChannelFacts(ids="contiguous", side="taker"), "quotes": ChannelFacts(ids="opaque")},
)
"""What holds for Kraken's channels; the evidence table in `README.md` says how each is known."""


def _feed(settings: KrakenSettings, context: Context) -> WebSocketFeed:
    from k2_plugin_kraken.feed import KrakenFeed

    return KrakenFeed(settings)


def _normalizer(settings: NormalizerSettings, context: Context) -> Normalizer:
    from k2_plugin_kraken.normalizer import KrakenNormalizer

    return KrakenNormalizer()


def _local(settings: LocalKrakenSettings, context: Context) -> object:
    from k2_plugin_kraken.local import LocalKraken

    return LocalKraken(settings, clock=context.clock)


@hookimpl
def k2_connectors() -> Iterable[Component[WebSocketFeed]]:
    """Kraken spot's feed."""
    summary = "Kraken spot, WebSocket v2: every trade and every best bid and ask"
    return [Component(name="kraken", summary=summary, settings=KrakenSettings, factory=_feed, capabilities=FACTS)]


@hookimpl
def k2_normalizers() -> Iterable[Component[Normalizer]]:
    """Kraken spot's frames to records."""
    summary = "Kraken spot's trade and ticker messages, WebSocket v2"
    return [Component(name="kraken", summary=summary, settings=NormalizerSettings, factory=_normalizer)]


@hookimpl
def k2_local_exchanges() -> Iterable[Component[object]]:
    """A Kraken on this machine, for demos and tests."""
    summary = "speaks Kraken's own protocol on loopback and plays a tape"
    return [Component(name="kraken", summary=summary, settings=LocalKrakenSettings, factory=_local)]
