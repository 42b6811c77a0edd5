"""The exchange on this machine: it speaks the protocol over real sockets and plays a tape.

Tests and `k2 demo --exchange bitstamp` talk to it. Change it together with `feed`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from k2core.testing import Dialect, Event, ServerLimits, TapeExchange, compact_json

LIMITS = ServerLimits(streams_per_connection=1024, ping_interval=54)


class BitstampDialect(Dialect):
    """The server's side of the protocol. A stream is a channel."""

    def on_message(self, message: bytes, current: set[str]) -> tuple[list[bytes], set[str]]:
        """Subscribe, and say so; what it does not know too."""
        channel = json.loads(message)["data"]["channel"]
        accepted = {"event": "bts:subscription_succeeded", "channel": channel, "data": {}}
        return [compact_json(accepted)], current | {channel}

    def refuse(self, message: bytes, streams: set[str]) -> list[bytes]:
        """It does not say what it refuses."""
        why = {"code": None, "message": "Invalid channel provided."}
        return [compact_json({"event": "bts:error", "channel": "", "data": why})]

    def rest(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Which markets there are."""
        if path != "/api/v2/markets/":
            return 404, {}, b""
        return 200, {}, compact_json([{"market_symbol": symbol} for symbol in self.symbols])

    def shutdown_frame(self, path: str) -> bytes:
        """Its farewell, some seconds before maintenance."""
        return b'{"event":"bts:request_reconnect","channel":"","data":null}'


class LocalBitstamp(TapeExchange):
    """A local Bitstamp; `TapeExchange` says what it does and which faults it plays."""

    name, speaks, enforces = "bitstamp", BitstampDialect, LIMITS

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
        return compact_json({"data": told, "channel": self.stream(event), "event": "trade"})

    def meaning(self, payload: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
        """What a frame says, for the proof that nothing was lost: shares no code with `normalizer`."""
        message = json.loads(payload)
        said = message["data"]
        yield self.trade(
            message["channel"].split("_")[2],
            trade_id=said["id"],
            price=said["price_str"],
            quantity=said["amount_str"],
            side=("buy", "sell")[said["type"]],
            at_us=int(said["microtimestamp"]),
        )
