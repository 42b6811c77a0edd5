"""Binance spot for k2: what this plugin offers. Light on purpose: its parts are imported when they are made."""

from __future__ import annotations

from k2_plugin_binance.settings import BinanceSettings, LocalBinanceSettings
from k2core.plugin import ChannelFacts, ConnectorFacts, exchange_hooks

FACTS = ConnectorFacts(
    exchange="binance",
    asset_class="crypto",
    channels={
        "trades": ChannelFacts(ids="contiguous", side="taker", event_time="exchange", backfill=False),
        "quotes": ChannelFacts(ids="increasing", event_time="received"),
    },
)
"""What holds for Binance's channels; `EVIDENCE.md` says how each is known."""

k2_connectors, k2_normalizers, k2_local_exchanges = exchange_hooks(
    __name__,
    FACTS,
    title="Binance spot",
    settings=BinanceSettings,
    feed="feed:BinanceFeed",
    normalizer="normalizer:BinanceNormalizer",
    local_settings=LocalBinanceSettings,
    local="local:LocalBinance",
)
