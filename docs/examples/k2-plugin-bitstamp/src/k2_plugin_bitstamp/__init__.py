"""Bitstamp for k2: what this plugin offers. Light on purpose; heavy imports wait in the factories."""

from __future__ import annotations

from collections.abc import Iterable

from k2core.plugin import (
    ChannelFacts,
    Component,
    ConnectorFacts,
    Context,
    Normalizer,
    WebSocketFeed,
    hookimpl,
)

from k2_plugin_bitstamp.settings import FeedSettings, LocalSettings, NormalizerSettings

FACTS = ConnectorFacts(
    exchange="bitstamp",
    asset_class="crypto",
    channels={"trades": ChannelFacts(ids="opaque", side="taker")},
)
"""What holds for the exchange's channels; the tests prove it of what you wrote, you of the exchange."""


def _feed(settings: FeedSettings, context: Context) -> WebSocketFeed:
    from k2_plugin_bitstamp.feed import BitstampFeed

    return BitstampFeed(settings)


def _normalizer(settings: NormalizerSettings, context: Context) -> Normalizer:
    from k2_plugin_bitstamp.normalizer import BitstampNormalizer

    return BitstampNormalizer()


def _local(settings: LocalSettings, context: Context) -> object:
    from k2_plugin_bitstamp.local import LocalBitstamp

    return LocalBitstamp(settings, clock=context.clock)


@hookimpl
def k2_connectors() -> Iterable[Component[WebSocketFeed]]:
    """The feed."""
    return [
        Component(
            name="bitstamp",
            summary="trades of Bitstamp",
            settings=FeedSettings,
            factory=_feed,
            capabilities=FACTS,
        )
    ]


@hookimpl
def k2_normalizers() -> Iterable[Component[Normalizer]]:
    """Frames to records."""
    return [
        Component(
            name="bitstamp",
            summary="trade messages of Bitstamp",
            settings=NormalizerSettings,
            factory=_normalizer,
        )
    ]


@hookimpl
def k2_local_exchanges() -> Iterable[Component[object]]:
    """The exchange on this machine: `k2 demo --exchange bitstamp`."""
    return [
        Component(
            name="bitstamp",
            summary="speaks the protocol of Bitstamp on loopback",
            settings=LocalSettings,
            factory=_local,
        )
    ]
