"""`ExchangeSettings`: the settings that every exchange's connector has. Imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from k2core.component import Settings
from k2core.exchanges.spelling import Spelling
from k2core.interfaces.connector import ConnectionLimits

_WEBSOCKET = re.compile(r"wss?://[^\s?#]+")
_REST = re.compile(r"https?://[^\s?#]+")


class ExchangeSettings(Settings):
    """`[connectors.NAME]` of an exchange. A subclass gives the addresses and `spelling`, and other limits as fields anew.

    A field that is written again keeps the checks that are made here.

    Attributes:
        spelling: How the exchange writes its symbols.
    """

    spelling: ClassVar[Spelling] = Spelling()

    symbols: list[str] = Field(min_length=1, description="What to capture, spelled as the exchange does.")
    data_types: Sequence[Literal["trades", "quotes"]] = Field(
        ["trades", "quotes"], min_length=1, description="trades, quotes, or both."
    )
    websocket_url: str = Field(description="Where to connect.")
    rest_url: str = Field("", description="Base of the REST addresses.")
    check_symbols: bool = Field(True, description="Ask over REST which symbols exist before subscribing.")
    subscriptions_per_request: int = Field(200, ge=1, description="Subscriptions in one message, at most.")
    streams_per_connection: int = Field(
        500, ge=1, description="Streams on one connection, at most; all of a symbol's share one."
    )
    control_per_second: float = Field(5, gt=0, description="Messages sent a second, at most.")
    connects_per_window: int = Field(300, ge=1, description="Connection attempts in connect_window_s, at most.")
    connect_window_s: float = Field(300, ge=1, description="See connects_per_window.")
    max_frame_bytes: int = Field(1 << 20, ge=1024, description="A larger frame is refused and the connection closed.")
    frame_timeout_s: float = Field(60, gt=0, description="No frame of any kind for so long: the connection is dead.")
    data_timeout_s: float | None = Field(
        None, gt=0, description="No market data for so long: dead. Unset where quiet markets are normal."
    )
    ack_timeout_s: float = Field(10, gt=0, description="A subscription unacknowledged for so long is asked for again.")
    max_age_s: float | None = Field(None, gt=0, description="A connection is replaced at this age; unset: never.")

    @field_validator("symbols")
    @classmethod
    def _spelled(cls, value: list[str]) -> list[str]:
        return cls.spelling.read(value)

    @field_validator("data_types")
    @classmethod
    def _once(cls, value: Sequence[str]) -> list[str]:
        return list(dict.fromkeys(value))

    @field_validator("websocket_url")
    @classmethod
    def _websocket(cls, value: str) -> str:
        return _address(value, _WEBSOCKET, "wss://stream.example.com")

    @field_validator("rest_url")
    @classmethod
    def _rest(cls, value: str) -> str:
        return _address(value, _REST, "https://api.example.com") if value else ""

    def limits(self) -> ConnectionLimits:
        """These settings as core keeps them; all data types of a symbol share a connection."""
        kinds, streams = len(self.data_types), self.streams_per_connection
        return ConnectionLimits(
            streams_per_connection=max(kinds, streams - streams % kinds),
            control_per_second=self.control_per_second,
            connects_per_window=self.connects_per_window,
            connect_window=self.connect_window_s,
            max_frame_bytes=self.max_frame_bytes,
            frame_timeout=self.frame_timeout_s,
            data_timeout=self.data_timeout_s,
            ack_timeout=self.ack_timeout_s,
            max_age=self.max_age_s,
        )


def _address(value: str, form: re.Pattern[str], example: str) -> str:
    if not form.fullmatch(value):
        raise ValueError(f"{value!r} is no such address: write it as {example}, without `?` and `#`")
    return value.rstrip("/")
