"""Settings of the connector and the local exchange. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from k2core.plugin import ExchangeSettings, Spelling
from k2core.testing import TapeSettings

DEFAULT_SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT")
SYMBOLS = Spelling(r'[^\s@/"\\?&#]{1,64}', "BTCUSDT", upper=True)
"""What could stand in a stream's name; not only letters of the Latin alphabet do."""


class BinanceSettings(ExchangeSettings):
    """`[connectors.binance]`. The limits' defaults are Binance's own; see `EVIDENCE.md`."""

    spelling = SYMBOLS

    symbols: list[str] = Field(min_length=1, description="What to capture, spelled as Binance does: BTCUSDT.")
    websocket_url: str = Field("wss://stream.binance.com:9443", description="Base of the stream addresses.")
    rest_url: str = Field("https://api.binance.com", description="Base of the REST addresses.")
    combined: bool = Field(
        True, description="Combined streams (/stream), which name each frame's stream, or raw (/ws)."
    )
    time_unit: Literal["millisecond", "microsecond"] = Field(
        "millisecond", description="Unit of the times that Binance is asked to send."
    )
    symbols_per_check: int = Field(100, ge=1, le=500, description="Symbols in one exchangeInfo request, at most.")
    streams_per_connection: int = Field(1024, ge=1, le=1024, description="Streams on one connection, at most.")
    control_per_second: float = Field(
        4, gt=0, le=5, description="Messages sent a second, at most; Binance cuts above 5, pongs counted."
    )
    connects_per_window: int = Field(300, ge=1, le=300, description="Connection attempts in connect_window_s, at most.")
    frame_timeout_s: float = Field(
        60, gt=0, description="No frame of any kind for so long: dead. Binance pings every 20 s."
    )
    max_age_s: float = Field(
        82_800, gt=0, le=86_400, description="A connection is replaced at this age; Binance cuts it at 24 h."
    )


class LocalBinanceSettings(TapeSettings):
    """Settings of the local exchange: a generated tape, or recorded frames where `recordings` is given."""

    spelling = SYMBOLS

    symbols: list[str] = Field(list(DEFAULT_SYMBOLS), min_length=1, description="Symbols of the generated tape.")
    combined: bool = Field(True, description="What `settings()` tells the connector to use.")
    time_unit: Literal["millisecond", "microsecond"] = Field("millisecond", description="See `combined`.")
    recordings: Path | None = Field(
        None,
        description="A recording, or a folder of them: gz lines of receive time and combined frame.",
        json_schema_extra={"path": True},
    )
    rate: float = Field(0, ge=0, description="Frames a second of a recording; 0: as fast as the connector takes them.")
