"""The exchange on this machine: it speaks the protocol over real sockets and plays a tape.

Tests and `k2 demo --exchange bitstamp` talk to it. Change it together with `feed`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from k2core.plugin import Clock
from k2core.testing import (
    Dialect,
    Event,
    ServerLimits,
    TapeExchange,
    broken_off,
    exact,
    generated,
)

from k2_plugin_bitstamp.settings import LocalSettings

LIMITS = ServerLimits(streams_per_connection=1024, ping_interval=54)


class BitstampDialect(Dialect):
    """The server's side of the protocol. A stream is a channel."""

    def __init__(self, symbols: list[str]) -> None:
        self._symbols = symbols

    def on_message(self, message: bytes, current: set[str]) -> tuple[list[bytes], set[str]]:
        """Subscribe, and say so; what it does not know too."""
        channel = json.loads(message)["data"]["channel"]
        accepted = {"event": "bts:subscription_succeeded", "channel": channel, "data": {}}
        return [_compact(accepted)], current | {channel}

    def refuse(self, message: bytes, streams: set[str]) -> list[bytes]:
        """It does not say what it refuses."""
        why = {"code": None, "message": "Invalid channel provided."}
        return [_compact({"event": "bts:error", "channel": "", "data": why})]

    def rest(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Which markets there are."""
        if path != "/api/v2/markets/":
            return 404, {}, b""
        return 200, {}, _compact([{"market_symbol": symbol} for symbol in self._symbols])

    def shutdown_frame(self, path: str) -> bytes:
        """Its farewell, some seconds before maintenance."""
        return b'{"event":"bts:request_reconnect","channel":"","data":null}'


class LocalBitstamp(TapeExchange):
    """A local Bitstamp; `TapeExchange` says what it does and which faults it plays."""

    def __init__(self, settings: LocalSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        made = {"trades", "quotes_per_trade", "seconds", "malformed", "seed"}
        tape = generated(settings.symbols, **settings.model_dump(include=made))
        dialect = BitstampDialect(settings.symbols)
        super().__init__(settings, dialect, tape, limits=LIMITS, clock=clock)

    def settings(self) -> dict[str, Any]:
        """`[connectors.bitstamp]` settings that reach it."""
        reached = {"websocket_url": self.exchange.url, "rest_url": self.exchange.rest_url}
        return {"symbols": self._settings.symbols, **reached}

    def streams(self) -> set[str]:
        """Every symbol's channel."""
        return {f"live_trades_{symbol}" for symbol in self._settings.symbols}

    def stream(self, event: Event) -> str:
        """The channel."""
        return f"live_trades_{event.symbol}"

    def render(self, event: Event, now_us: int) -> bytes:
        """A trade as the exchange prints it."""
        deal = event.what
        told = {
            "id": deal.trade_id,
            "amount_str": deal.quantity,
            "price_str": deal.price,
            "type": ["buy", "sell"].index(deal.side),
            "microtimestamp": str(now_us),
        }
        frame = _compact({"data": told, "channel": self.stream(event), "event": "trade"})
        return frame if event.sound else broken_off(frame)

    def meaning(self, payload: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
        """What a frame says, for the proof that nothing was lost: shares no code with `normalizer`."""
        message = json.loads(payload)
        said = message["data"]
        yield (
            "trades",
            {
                "symbol": message["channel"].split("_")[2],
                "exchange": "bitstamp",
                "exchange_timestamp_us": int(said["microtimestamp"]),
                "price": exact(said["price_str"]),
                "quantity": exact(said["amount_str"]),
                "side": ("buy", "sell")[said["type"]],
                "trade_id": str(said["id"]),
            },
        )


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
