"""Settings of the connector and of the local exchange. Imports nothing heavy."""

from __future__ import annotations

from pydantic import Field

from k2core.plugin import ExchangeSettings, Spelling
from k2core.testing import TapeSettings

CHANNELS = {"trades": "matches", "quotes": "ticker"}
"""The channel that carries a data type."""
PRODUCTS = Spelling(r"[A-Z0-9]{1,31}-[A-Z0-9]{1,31}", "BTC-USD", upper=True)


class CoinbaseSettings(ExchangeSettings):
    """`[connectors.coinbase]`. The limits' defaults are Coinbase's own; see `README.md`."""

    spelling = PRODUCTS

    symbols: list[str] = Field(min_length=1, description="Products to capture, spelled as Coinbase does: BTC-USD.")
    websocket_url: str = Field("wss://ws-feed.exchange.coinbase.com", description="The feed.")
    rest_url: str = Field("https://api.exchange.coinbase.com", description="Base of the REST addresses.")
    dropped_after_s: float = Field(2, gt=0, description="A trade that a heartbeat announced was dropped if so late.")
    streams_per_connection: int = Field(200, ge=1, description="Products times channels on one connection, at most.")
    control_per_second: float = Field(50, gt=0, le=100, description="Messages sent a second, at most.")
    connects_per_window: int = Field(8, ge=1, le=8, description="Connection attempts in connect_window_s, at most.")
    connect_window_s: float = Field(1, ge=1, description="Coinbase counts attempts in a second.")
    frame_timeout_s: float = Field(10, gt=0, description="No frame for so long: dead; heartbeats come every second.")


class LocalCoinbaseSettings(TapeSettings):
    """A generated tape, and how it is played."""

    spelling = PRODUCTS

    symbols: list[str] = Field(["BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD"], min_length=1, description="Products.")
    heartbeat_s: float = Field(1, gt=0, description="Seconds between the heartbeats of a product.")
