"""Bitstamp for k2: what this plugin offers. Light on purpose: its parts are imported when they are made."""

from __future__ import annotations

from k2core.plugin import ChannelFacts, ConnectorFacts, exchange_hooks

from k2_plugin_bitstamp.settings import FeedSettings, LocalSettings

FACTS = ConnectorFacts(
    exchange="bitstamp",
    asset_class="crypto",
    channels={"trades": ChannelFacts(ids="opaque", side="taker")},
)
"""What holds for the exchange's channels; the tests prove it of what you wrote, you of the exchange."""

k2_connectors, k2_normalizers, k2_local_exchanges = exchange_hooks(
    __name__,
    FACTS,
    title="Bitstamp",
    settings=FeedSettings,
    feed="feed:BitstampFeed",
    normalizer="normalizer:BitstampNormalizer",
    local_settings=LocalSettings,
    local="local:LocalBitstamp",
)
