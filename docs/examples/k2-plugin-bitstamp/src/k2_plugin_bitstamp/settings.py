"""Settings. Imports nothing heavy. `ExchangeSettings` has many more: limits, waits, whether symbols are checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from k2core.plugin import ExchangeSettings, Spelling
from k2core.testing import TapeSettings
from pydantic import Field

SYMBOLS = Spelling(r"[a-z0-9]+(-perp)?", "btcusd")
"""How a symbol is written, and one."""


class FeedSettings(ExchangeSettings):
    """`[connectors.bitstamp]`."""

    spelling = SYMBOLS

    data_types: Sequence[Literal["trades"]] = Field(["trades"], description="What to capture of each.")
    websocket_url: str = Field("wss://ws.bitstamp.net", description="Where to connect.")
    rest_url: str = Field("https://www.bitstamp.net", description="Whom to ask for symbols.")
    streams_per_connection: int = Field(1000, ge=1, description="Symbols on one connection, at most.")
    subscriptions_per_request: int = Field(1, ge=1, le=1, description="More than 512 bytes cost it.")
    frame_timeout_s: float = Field(120, gt=0, description="No frame for so long: the connection is dead.")
    max_age_s: float = Field(80 * 86_400, gt=0, description="A connection is replaced at this age.")


class LocalSettings(TapeSettings):
    """The local exchange."""

    spelling = SYMBOLS

    symbols: list[str] = Field(["btcusd", "ethusd", "solusd"], description="Who trades.")
    data_types: Sequence[Literal["trades"]] = Field(["trades"], description="What is played.")
    quotes_per_trade: float = Field(0, ge=0, le=0, description="This exchange has no quotes.")
