"""Binance spot for k2: what this plugin offers. Light on purpose; heavy imports wait inside the factories."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from k2_plugin_binance.settings import BinanceSettings, LocalBinanceSettings, NormalizerSettings
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
    from k2_plugin_binance.local import LocalBinance

FACTS = ConnectorFacts(
    exchange="binance",
    asset_class="crypto",
    channels={
        "trades": ChannelFacts(ids="contiguous", side="taker", event_time="exchange", backfill=False),
        "quotes": ChannelFacts(ids="increasing", event_time="received"),
    },
)
"""What holds for Binance's channels; `EVIDENCE.md` says how each is known."""


def _feed(settings: BinanceSettings, context: Context) -> WebSocketFeed:
    from k2_plugin_binance.feed import BinanceFeed

    return BinanceFeed(settings)


def _normalizer(settings: NormalizerSettings, context: Context) -> Normalizer:
    from k2_plugin_binance.normalizer import BinanceNormalizer

    return BinanceNormalizer()


def _local(settings: LocalBinanceSettings, context: Context) -> LocalBinance:
    from k2_plugin_binance.local import LocalBinance

    return LocalBinance(settings, clock=context.clock)


@hookimpl
def k2_connectors() -> Iterable[Component[Connector | WebSocketFeed]]:
    """Binance spot's feed."""
    return [
        Component(
            name="binance",
            summary="Binance spot: every trade and every best bid and ask",
            settings=BinanceSettings,
            factory=_feed,
            capabilities=FACTS,
        )
    ]


@hookimpl
def k2_normalizers() -> Iterable[Component[Normalizer]]:
    """Binance spot's frames to records."""
    return [
        Component(
            name="binance",
            summary="Binance spot's @trade and @bookTicker frames, raw or combined",
            settings=NormalizerSettings,
            factory=_normalizer,
        )
    ]


@hookimpl
def k2_local_exchanges() -> Iterable[Component[object]]:
    """A Binance on this machine, for demos and tests."""
    return [
        Component(
            name="binance",
            summary="speaks Binance's own protocol on loopback and plays a tape",
            settings=LocalBinanceSettings,
            factory=_local,
        )
    ]
