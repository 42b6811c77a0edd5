"""Settings of the connector and the local exchange. Imports nothing heavy."""

from __future__ import annotations

from pydantic import Field

from k2core.plugin import ExchangeSettings, Spelling
from k2core.testing import TapeSettings

CHANNELS = {"trades": "trade", "quotes": "ticker"}
"""The channel that carries a data type."""
SYMBOLS = Spelling(r"[A-Za-z0-9.\-]{1,30}/[A-Za-z0-9.\-]{1,30}", "BTC/USD", renamed={"XBT": "BTC", "XDG": "DOGE"})
"""As WebSocket v2 spells them. Case matters: `AAPLx/USD`."""
DEMO = ["BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD", "ADA/EUR", "DOGE/USD"]


class KrakenSettings(ExchangeSettings):
    """`[connectors.kraken]`. The limits' defaults keep within Kraken's own; see the evidence table in `README.md`."""

    spelling = SYMBOLS

    symbols: list[str] = Field(min_length=1, description="What to capture, spelled as WebSocket v2 does: BTC/USD.")
    websocket_url: str = Field("wss://ws.kraken.com/v2", description="Where to connect.")
    rest_url: str = Field("https://api.kraken.com", description="Base of the REST addresses.")
    connects_per_window: int = Field(120, ge=1, le=150, description="Connection attempts in connect_window_s, at most.")
    connect_window_s: float = Field(600, ge=600, description="Kraken counts attempts in 10 minutes.")
    frame_timeout_s: float = Field(10, gt=0, description="No frame for so long: dead; a heart beats every second.")


class LocalKrakenSettings(TapeSettings):
    """Settings of the local exchange."""

    spelling = SYMBOLS

    symbols: list[str] = Field(DEMO, min_length=1, description="Symbols of the generated tape.")
    before: int = Field(100, ge=0, description="Messages of the tape that happened before anybody could subscribe.")
    trades_per_frame: int = Field(4, ge=1, description="Trades that one message holds, at most.")
