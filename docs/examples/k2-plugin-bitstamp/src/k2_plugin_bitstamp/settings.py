"""Settings. Imports nothing heavy."""

from __future__ import annotations

from k2core.plugin import Settings
from k2core.testing import TapeSettings
from pydantic import Field

_HOME = "wss://ws.bitstamp.net"
_ADDRESS = r"^wss?://[^\s?#]+$"


class FeedSettings(Settings):
    """`[connectors.bitstamp]`."""

    symbols: list[str] = Field(min_length=1, description="What to capture, as btcusd.")
    websocket_url: str = Field(_HOME, pattern=_ADDRESS, description="Where to connect.")
    rest_url: str = Field("https://www.bitstamp.net", description="Whom to ask for markets.")
    ack_timeout_s: float = Field(10, gt=0, description="Not acknowledged for so long: asked for again.")
    frame_timeout_s: float = Field(120, gt=0, description="No frame for so long: the connection is dead.")


class NormalizerSettings(Settings):
    """`[normalizers.bitstamp]`: there is nothing to set."""


class LocalSettings(TapeSettings):
    """The local exchange."""

    symbols: list[str] = Field(["btcusd", "ethusd", "solusd"], description="Who trades.")
    quotes_per_trade: float = Field(0, ge=0, le=0, description="This exchange has no quotes.")
