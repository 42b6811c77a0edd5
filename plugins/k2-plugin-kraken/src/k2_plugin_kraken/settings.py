"""Settings of the connector, the normalizer and the local exchange. Imports nothing heavy."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from k2core.plugin import Settings
from k2core.testing import TapeSettings

_SYMBOL = re.compile(r"[A-Za-z0-9.\-]{1,30}/[A-Za-z0-9.\-]{1,30}")
DataType = Literal["trades", "quotes"]
DEMO_SYMBOLS = ["BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD", "ADA/EUR", "DOGE/USD"]
_OLD_NAMES = {"XBT": "BTC", "XDG": "DOGE"}


def _symbols(value: list[str]) -> list[str]:
    """Each once, as written: case matters (`AAPLx/USD`)."""
    for symbol in value:
        if not _SYMBOL.fullmatch(symbol):
            raise ValueError(f"{symbol!r} is no Kraken symbol: write it as WebSocket v2 does, like BTC/USD")
        if old := [name for name in symbol.split("/") if name in _OLD_NAMES]:
            raise ValueError(f"{symbol!r} is an old spelling: WebSocket v2 says {_OLD_NAMES[old[0]]}, not {old[0]}")
    return list(dict.fromkeys(value))


class KrakenSettings(Settings):
    """`[connectors.kraken]`. The limits' defaults keep within Kraken's own; see the evidence table in `README.md`."""

    symbols: list[str] = Field(min_length=1, description="What to capture, spelled as WebSocket v2 does: BTC/USD.")
    data_types: list[DataType] = Field(["trades", "quotes"], min_length=1, description="trades, quotes, or both.")
    websocket_url: str = Field("wss://ws.kraken.com/v2", pattern=r"^wss?://[^\s?#]+$", description="Where to connect.")
    rest_url: str = Field("https://api.kraken.com", pattern=r"^https?://[^\s?#]+[^/]$", description="Base for REST.")
    check_symbols: bool = Field(True, description="Ask AssetPairs which symbols exist before subscribing.")
    symbols_per_request: int = Field(200, ge=1, description="Symbols in one subscribe message, at most.")
    streams_per_connection: int = Field(500, ge=1, description="Symbols times data types on one connection, at most.")
    control_per_second: float = Field(5, gt=0, description="Messages sent a second, at most.")
    connects_per_window: int = Field(120, ge=1, le=150, description="Connection attempts in 10 minutes, at most.")
    max_frame_bytes: int = Field(1 << 20, ge=1024, description="A larger frame is refused and the connection closed.")
    frame_timeout_s: float = Field(
        10, gt=0, description="No frame for so long: dead. Kraken's heart beats every second."
    )
    ack_timeout_s: float = Field(10, gt=0, description="A subscription unacknowledged for so long is asked for again.")

    _spelled = field_validator("symbols")(_symbols)


class NormalizerSettings(Settings):
    """`[normalizers.kraken]`: there is nothing to set."""


class LocalKrakenSettings(TapeSettings):
    """Settings of the local exchange."""

    symbols: list[str] = Field(DEMO_SYMBOLS, min_length=1, description="Symbols of the generated tape.")
    before: int = Field(100, ge=0, description="Messages of the tape that happened before anybody could subscribe.")
    trades_per_message: int = Field(4, ge=1, description="Trades that one message holds, at most.")

    _spelled = field_validator("symbols")(_symbols)
