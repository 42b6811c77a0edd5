"""Settings of the connector, the normalizer and the local exchange. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from k2core.plugin import Settings
from k2core.testing import TapeSettings

DEFAULT_SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT")


def _symbols(value: list[str]) -> list[str]:
    """Upper case, each once, in the given order.

    Raises:
        ValueError: One is empty, longer than 64 characters, or could not stand in a stream's name.
    """
    for symbol in value:
        if not 0 < len(symbol) <= 64 or not symbol.isprintable() or any(c in symbol for c in ' @/"\\?&#'):
            raise ValueError(f"{symbol!r} is no Binance symbol: write it as the exchange does, like BTCUSDT")
    return list(dict.fromkeys(symbol.upper() for symbol in value))


class BinanceSettings(Settings):
    """`[connectors.binance]`. The limits' defaults are Binance's own; see `EVIDENCE.md`."""

    symbols: list[str] = Field(min_length=1, description="What to capture, spelled as Binance does: BTCUSDT.")
    data_types: list[Literal["trades", "quotes"]] = Field(
        ["trades", "quotes"], min_length=1, description="trades (@trade) and quotes (@bookTicker)."
    )
    websocket_url: str = Field(
        "wss://stream.binance.com:9443", pattern=r"^wss?://[^\s?#]+$", description="Base of the stream addresses."
    )
    rest_url: str = Field(
        "https://api.binance.com", pattern=r"^https?://[^\s?#]+$", description="Base of the REST addresses."
    )
    combined: bool = Field(
        True, description="Combined streams (/stream), which name each frame's stream, or raw (/ws)."
    )
    time_unit: Literal["millisecond", "microsecond"] = Field(
        "millisecond", description="Unit of the times that Binance is asked to send."
    )
    check_symbols: bool = Field(True, description="Ask exchangeInfo which symbols exist before subscribing.")
    symbols_per_check: int = Field(100, ge=1, le=500, description="Symbols in one exchangeInfo request, at most.")
    streams_per_connection: int = Field(1024, ge=1, le=1024, description="Streams on one connection, at most.")
    params_per_request: int = Field(200, ge=1, le=1024, description="Streams in one SUBSCRIBE message, at most.")
    control_per_second: float = Field(
        4, gt=0, le=5, description="Messages sent a second, at most; Binance cuts above 5, pongs counted."
    )
    connects_per_window: int = Field(300, ge=1, le=300, description="Connection attempts in connect_window_s, at most.")
    connect_window_s: float = Field(300, ge=1, description="See connects_per_window.")
    max_frame_bytes: int = Field(1 << 20, ge=1024, description="A larger frame is refused and the connection closed.")
    frame_timeout_s: float = Field(
        60, gt=0, description="No frame of any kind for so long: dead. Binance pings every 20 s."
    )
    data_timeout_s: float | None = Field(
        None, gt=0, description="No market data for so long: dead. Unset where quiet markets are normal."
    )
    ack_timeout_s: float = Field(10, gt=0, description="A subscription unacknowledged for so long is asked for again.")
    max_age_s: float = Field(
        82_800, gt=0, le=86_400, description="A connection is replaced at this age; Binance cuts it at 24 h."
    )

    @field_validator("symbols")
    @classmethod
    def _spelled(cls, value: list[str]) -> list[str]:
        return _symbols(value)

    @field_validator("data_types")
    @classmethod
    def _once(cls, value: list[Literal["trades", "quotes"]]) -> list[Literal["trades", "quotes"]]:
        return list(dict.fromkeys(value))

    @field_validator("websocket_url", "rest_url")
    @classmethod
    def _base(cls, value: str) -> str:
        return value.rstrip("/")


class NormalizerSettings(Settings):
    """`[normalizers.binance]`: there is nothing to set; milliseconds and microseconds are told apart by size."""


class LocalBinanceSettings(TapeSettings):
    """Settings of the local exchange: a generated tape, or recorded frames where `recordings` is given."""

    symbols: list[str] = Field(list(DEFAULT_SYMBOLS), min_length=1, description="Symbols of the generated tape.")
    combined: bool = Field(True, description="What `settings()` tells the connector to use.")
    time_unit: Literal["millisecond", "microsecond"] = Field("millisecond", description="See `combined`.")
    recordings: Path | None = Field(
        None,
        description="A recording, or a folder of them: gz lines of receive time and combined frame.",
        json_schema_extra={"path": True},
    )
    rate: float = Field(0, ge=0, description="Frames a second of a recording; 0: as fast as the connector takes them.")

    @field_validator("symbols")
    @classmethod
    def _spelled(cls, value: list[str]) -> list[str]:
        return _symbols(value)
