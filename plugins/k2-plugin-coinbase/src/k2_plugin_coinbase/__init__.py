"""Coinbase Exchange for k2: what this plugin offers. Light on purpose; heavy imports wait inside the factories."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from k2_plugin_coinbase.settings import CoinbaseSettings, LocalCoinbaseSettings, NormalizerSettings
from k2core.plugin import (
    ChannelFacts,
    Component,
    Connector,
    ConnectorFacts,
    Context,
    Normalizer,
    WebSocketFeed,
    hookimpl,
)

if TYPE_CHECKING:
    from k2_plugin_coinbase.local import LocalCoinbase

FACTS = ConnectorFacts(
    exchange="coinbase",
    asset_class="crypto",
    channels={"trades": ChannelFacts(ids="contiguous", side="maker"), "quotes": ChannelFacts(ids="increasing")},
)
"""What holds for Coinbase's channels; `README.md` says how each is known."""


def _feed(settings: CoinbaseSettings, context: Context) -> WebSocketFeed:
    from k2_plugin_coinbase.feed import CoinbaseFeed

    return CoinbaseFeed(settings, context)


def _normalizer(settings: NormalizerSettings, context: Context) -> Normalizer:
    from k2_plugin_coinbase.normalizer import CoinbaseNormalizer

    return CoinbaseNormalizer()


def _local(settings: LocalCoinbaseSettings, context: Context) -> LocalCoinbase:
    from k2_plugin_coinbase.local import LocalCoinbase

    return LocalCoinbase(settings, clock=context.clock)


@hookimpl
def k2_connectors() -> Iterable[Component[Connector | WebSocketFeed]]:
    """Coinbase Exchange's feed."""
    summary = "Coinbase Exchange: every trade, and the best bid and ask after each"
    return [Component(name="coinbase", summary=summary, settings=CoinbaseSettings, factory=_feed, capabilities=FACTS)]


@hookimpl
def k2_normalizers() -> Iterable[Component[Normalizer]]:
    """Coinbase Exchange's frames to records."""
    summary = "Coinbase Exchange's match, last_match and ticker frames"
    return [Component(name="coinbase", summary=summary, settings=NormalizerSettings, factory=_normalizer)]


@hookimpl
def k2_local_exchanges() -> Iterable[Component[object]]:
    """A Coinbase on this machine, for demos and tests."""
    summary = "speaks Coinbase Exchange's own protocol on loopback and plays a tape"
    return [Component(name="coinbase", summary=summary, settings=LocalCoinbaseSettings, factory=_local)]
