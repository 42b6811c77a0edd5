"""Kraken spot for k2: what this plugin offers. Light on purpose: its parts are imported when they are made."""

from __future__ import annotations

from k2_plugin_kraken.settings import KrakenSettings, LocalKrakenSettings
from k2core.plugin import ChannelFacts, ConnectorFacts, exchange_hooks

FACTS = ConnectorFacts(
    exchange="kraken",
    asset_class="crypto",
    channels={"trades": ChannelFacts(ids="contiguous", side="taker"), "quotes": ChannelFacts(ids="opaque")},
)
"""What holds for Kraken's channels; the evidence table in `README.md` says how each is known."""

k2_connectors, k2_normalizers, k2_local_exchanges = exchange_hooks(
    __name__,
    FACTS,
    title="Kraken spot, WebSocket v2",
    settings=KrakenSettings,
    feed="feed:KrakenFeed",
    normalizer="normalizer:KrakenNormalizer",
    local_settings=LocalKrakenSettings,
    local="local:LocalKraken",
)
