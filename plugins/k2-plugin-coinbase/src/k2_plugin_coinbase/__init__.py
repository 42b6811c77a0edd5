"""Coinbase Exchange for k2: what this plugin offers. Light on purpose: its parts are imported when they are made."""

from __future__ import annotations

from k2_plugin_coinbase.settings import CoinbaseSettings, LocalCoinbaseSettings
from k2core.plugin import ChannelFacts, ConnectorFacts, exchange_hooks

FACTS = ConnectorFacts(
    exchange="coinbase",
    asset_class="crypto",
    channels={"trades": ChannelFacts(ids="contiguous", side="maker"), "quotes": ChannelFacts(ids="increasing")},
)
"""What holds for Coinbase's channels; `README.md` says how each is known."""

k2_connectors, k2_normalizers, k2_local_exchanges = exchange_hooks(
    __name__,
    FACTS,
    title="Coinbase Exchange",
    settings=CoinbaseSettings,
    feed="feed:CoinbaseFeed",
    normalizer="normalizer:CoinbaseNormalizer",
    local_settings=LocalCoinbaseSettings,
    local="local:LocalCoinbase",
)
