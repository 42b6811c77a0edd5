"""Settings of the connector, of the normalizer and of the local exchange."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from k2core.plugin import Settings
from k2core.testing import TapeSettings

CHANNELS = {"trades": "matches", "quotes": "ticker"}
"""The channel that carries a data type."""
Product = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,31}-[A-Za-z0-9]{1,31}$"), AfterValidator(str.upper)]
Products = Annotated[list[Product], Field(min_length=1), AfterValidator(lambda names: list(dict.fromkeys(names)))]


class CoinbaseSettings(Settings):
    """`[connectors.coinbase]`. The limits' defaults are Coinbase's own; see `README.md`."""

    symbols: Products = Field(description="Products to capture, spelled as Coinbase does: BTC-USD.")
    data_types: list[Literal["trades", "quotes"]] = Field(
        ["trades", "quotes"], min_length=1, description="trades (matches) and quotes (ticker)."
    )
    websocket_url: str = Field("wss://ws-feed.exchange.coinbase.com", pattern="^wss?://", description="The feed.")
    rest_url: str = Field("https://api.exchange.coinbase.com", pattern="^https?://.*[^/]$", description="Base of REST.")
    check_symbols: bool = Field(True, description="Ask REST which products exist before subscribing.")
    dropped_after_s: float = Field(2, gt=0, description="A trade that a heartbeat announced was dropped if so late.")
    products_per_connection: int = Field(100, ge=1, description="Products on one connection, at most.")
    control_per_second: float = Field(50, gt=0, le=100, description="Messages sent a second, at most.")
    connects_per_second: int = Field(8, ge=1, le=8, description="Connection attempts a second, at most.")
    max_frame_bytes: int = Field(1 << 20, ge=1024, description="A larger frame is refused and the connection closed.")
    frame_timeout_s: float = Field(10, gt=0, description="No frame for so long: dead; heartbeats come every second.")
    ack_timeout_s: float = Field(10, gt=0, description="A subscription unacknowledged for so long is asked for again.")


class NormalizerSettings(Settings):
    """`[normalizers.coinbase]`: there is nothing to set."""


class LocalCoinbaseSettings(TapeSettings):
    """A generated tape, and how it is played."""

    symbols: Products = Field(["BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD"], description="Products of the tape.")
    heartbeat_s: float = Field(1, gt=0, description="Seconds between the heartbeats of a product.")
