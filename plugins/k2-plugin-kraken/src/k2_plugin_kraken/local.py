"""`LocalKraken`: a Kraken on loopback. It plays a tape, several trades a message; new subscribers get the last 50."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from k2_plugin_kraken.settings import CHANNELS
from k2core.testing import Deal, Dialect, Event, ServerLimits, TapeExchange, Top, compact_json, utc_text, utc_us

_DAY = {"last": 1.5, "volume": 2.5, "vwap": 1.5, "low": 1.25, "high": 1.75, "change": -0.25, "change_pct": -14.29}


class KrakenDialect(Dialect):
    """Kraken's protocol from the server's side. A stream is `trade:BTC/USD`."""

    remembers = 50

    def greeting(self, path: str) -> list[bytes]:
        """The first frame says that the system is online."""
        status = {"version": "2.0.0", "system": "online", "api_version": "v2", "connection_id": 12834216061186163200}
        return [compact_json({"channel": "status", "data": [status], "type": "update"})]

    def heartbeat(self, streams: set[str]) -> list[bytes]:
        """Once a second to whoever is subscribed to anything."""
        return [b'{"channel":"heartbeat"}'] if streams else []

    def answer(self, message: bytes, current: set[str], refused: set[str]) -> tuple[list[bytes], set[str]]:
        """One answer for each symbol, and after an accepted one its snapshot, where it was asked for."""
        asked = json.loads(message)
        told, params = {"method": asked["method"], "req_id": asked["req_id"]}, asked["params"]
        replies, streams = list[bytes](), set(current)
        for symbol in params.pop("symbol"):
            stream = f"{params['channel']}:{symbol}"
            if symbol not in self.symbols or stream in refused | streams:
                wrong = f"{'Already subscribed' if stream in streams else 'Currency pair not supported'} {symbol}"
                replies.append(compact_json(told | {"error": wrong, "success": False, "symbol": symbol}))
                continue
            replies.append(compact_json(told | {"result": params | {"symbol": symbol}, "success": True}))
            replies += self._snapshot(stream) if params["snapshot"] else []
            streams.add(stream)
        return replies, streams

    def _snapshot(self, stream: str) -> list[bytes]:
        """The last 50 trades, heard or not, or the last quote; nothing where nothing happened."""
        channel, newest = stream.partition(":")[0], self.memory.newest(stream)
        told = [one for payload in newest for one in json.loads(payload, parse_float=Decimal)["data"]]
        frame = _message(channel, "snapshot", told[-50 if channel == "trade" else -1 :])
        return [self.memory.issue(frame)] if told else []

    def rest(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """`AssetPairs` in the new spelling."""
        if path != "/0/public/AssetPairs":
            return 200, {}, b'{"error":["EGeneral:Unknown method"]}'
        found = self.symbols if query.get("aclass_base", "currency") == "currency" else []
        return 200, {}, compact_json({"error": [], "result": {symbol: {"status": "online"} for symbol in found}})


class LocalKraken(TapeExchange):
    """A local Kraken; `TapeExchange` says what it does and which faults it plays."""

    name, speaks, channels = "kraken", KrakenDialect, CHANNELS
    enforces = ServerLimits(connects_per_window=150, connect_window=600, ping_interval=20, heartbeat_interval=1)

    def render(self, event: Event, now_us: int) -> bytes:
        """A message with all that an event holds; its numbers are JSON numbers, as Kraken prints them."""
        told = [{"symbol": one.symbol, **_printed(one), "timestamp": utc_text(now_us)} for one in event.what]
        return _message(CHANNELS[event.data_type], "update", told)

    def meaning(self, payload: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
        """What a message says, by the standard library alone."""
        message = json.loads(payload, parse_float=str)
        for one in message["data"]:
            symbol, at_us = one["symbol"], utc_us(one["timestamp"])
            if message["channel"] == "trade":
                said = one["trade_id"], one["price"], one["qty"], one["side"]
                yield self.trade(symbol, *said, at_us, sequence_num=one["trade_id"])
                continue
            bid, ask = (one["bid"], one["bid_qty"]), (one["ask"], one["ask_qty"])
            content = blake2b(" ".join(bid + ask).encode(), digest_size=8).hexdigest()
            yield self.quote(symbol, f"{at_us}-{content}", bid, ask, at_us)


def _message(channel: str, kind: str, told: list[dict[str, Any]]) -> bytes:
    return compact_json({"channel": channel, "type": kind, "data": told})


def _printed(one: Deal | Top) -> dict[str, Any]:
    if isinstance(one, Deal):
        numbers = {"price": Decimal(one.price), "qty": Decimal(one.quantity)}
        return {"side": one.side, **numbers, "ord_type": "limit", "trade_id": one.trade_id}
    bid = {"bid": Decimal(one.bid_price), "bid_qty": Decimal(one.bid_quantity)}
    return {**bid, "ask": Decimal(one.ask_price), "ask_qty": Decimal(one.ask_quantity), **_DAY}
