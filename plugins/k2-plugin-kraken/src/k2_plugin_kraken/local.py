"""`LocalKraken`: a Kraken on loopback. It plays a generated tape, several trades a message, and keeps the last 50 trades
of each symbol, heard or not, for the snapshots that new subscribers get.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

from k2_plugin_kraken.settings import LocalKrakenSettings
from k2core.plugin import Clock
from k2core.testing import Deal, Dialect, Event, ServerLimits, TapeExchange, Top, broken_off, exact

_LIMITS = ServerLimits(connects_per_window=150, connect_window=600, ping_interval=20, heartbeat_interval=1)
_CHANNELS = {"trades": "trade", "quotes": "ticker"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class KrakenDialect(Dialect):
    """Kraken's protocol from the server's side. A stream is `trade:BTC/USD`."""

    def __init__(self, symbols: list[str], snapshot: Callable[[str], bytes]) -> None:
        self._symbols, self._snapshot = symbols, snapshot

    def greeting(self, path: str) -> list[bytes]:
        """The first frame says that the system is online."""
        status = {"version": "2.0.0", "system": "online", "api_version": "v2", "connection_id": 12834216061186163200}
        return [_compact({"channel": "status", "data": [status], "type": "update"})]

    def heartbeat(self, streams: set[str]) -> list[bytes]:
        """Once a second to whoever is subscribed to anything."""
        return [b'{"channel":"heartbeat"}'] if streams else []

    def on_message(self, message: bytes, current: set[str]) -> tuple[list[bytes], set[str]]:
        """Answer `subscribe`, `unsubscribe` and `ping`."""
        return self.answer(message, current, set())

    def answer(self, message: bytes, current: set[str], refused: set[str]) -> tuple[list[bytes], set[str]]:
        """One answer for each symbol, and after an accepted one its snapshot, where it was asked for."""
        try:
            asked = json.loads(message)
            method, params = asked["method"], asked.get("params", {})
        except (ValueError, TypeError, KeyError):
            return [_compact({"error": "Malformed request", "success": False})], current
        told = {"method": method} | ({"req_id": asked["req_id"]} if "req_id" in asked else {})
        if method == "ping":
            return [_compact(told | {"method": "pong"})], current
        replies, streams = list[bytes](), set(current)
        for symbol in params.get("symbol", []):
            stream = f"{params.get('channel')}:{symbol}"
            if wrong := self._why_not(method, stream, streams, refused):
                replies.append(_compact(told | {"error": wrong, "success": False, "symbol": symbol}))
                continue
            result = {key: value for key, value in params.items() if key != "symbol"} | {"symbol": symbol}
            replies.append(_compact(told | {"result": result, "success": True}))
            streams = streams | {stream} if method == "subscribe" else streams - {stream}
            if method == "subscribe" and params.get("snapshot") and (frame := self._snapshot(stream)):
                replies.append(frame)
        return replies, streams

    def _why_not(self, method: str, stream: str, current: set[str], refused: set[str]) -> str:
        channel, _, symbol = stream.partition(":")
        if method not in ("subscribe", "unsubscribe") or channel not in _CHANNELS.values():
            return f"Unsupported {method} {channel}"
        if symbol not in self._symbols or stream in refused:
            return f"Currency pair not supported {symbol}"
        return f"Already subscribed {symbol}" if method == "subscribe" and stream in current else ""

    def rest(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """`AssetPairs` in the new spelling."""
        found = self._symbols if query.get("aclass_base", "currency") == "currency" else []
        body: dict[str, Any] = {"error": [], "result": {s: {"wsname": s, "status": "online"} for s in found}}
        if path != "/0/public/AssetPairs":
            body = {"error": ["EGeneral:Unknown method"]}
        return 200, {"Content-Type": "application/json"}, _compact(body)


class LocalKraken(TapeExchange):
    """A local Kraken; `TapeExchange` says what it does and which faults it plays.

    Args:
        settings: The tape, and how it is played.
        clock: Time of the events.
    """

    def __init__(self, settings: LocalKrakenSettings, *, clock: Clock | None = None) -> None:
        self._last: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=50))
        tape = list(_grouped(settings.tape(), settings))
        before = [event for event in tape[: settings.before] if event.sound]
        after = [event for n, event in enumerate(tape) if n >= settings.before or not event.sound]
        dialect = KrakenDialect(settings.symbols, self._snapshot)
        super().__init__(settings, dialect, after, limits=_LIMITS, clock=clock)
        for event in before:
            self.render(event, self.clock.now_ns() // 1000)

    def settings(self) -> dict[str, Any]:
        """`[connectors.kraken]` settings that reach this exchange."""
        return super().settings() | {"websocket_url": self.exchange.url + "/v2"}

    def stream(self, event: Event) -> str:
        """As `trade:BTC/USD`."""
        return f"{_CHANNELS[event.data_type]}:{event.symbol}"

    def render(self, event: Event, now_us: int) -> bytes:
        """A message with all that an event holds; its numbers are JSON numbers, as Kraken prints them."""
        time = (_EPOCH + timedelta(microseconds=now_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        texts = [_spelled(one, time) for one in event.what]
        if event.sound:
            self._last[self.stream(event)].extend(texts)
        frame = _message(_CHANNELS[event.data_type], "update", texts)
        return frame if event.sound else broken_off(frame)

    def _snapshot(self, stream: str) -> bytes:
        """What a new subscriber gets: the last 50 trades, or the last quote. What it holds counts as issued."""
        channel, texts = stream.partition(":")[0], list(self._last[stream])
        if not texts:
            return b""
        frame = _message(channel, "snapshot", texts if channel == "trade" else texts[-1:])
        self.noted.note(frame)
        return frame

    def meaning(self, payload: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
        """What a message says, by the standard library alone."""
        message = json.loads(payload, parse_float=str, parse_int=str)
        for one in message["data"]:
            at_us = (datetime.fromisoformat(one["timestamp"]) - _EPOCH) // timedelta(microseconds=1)
            record = {"symbol": one["symbol"], "exchange": "kraken", "source": "live"}
            record |= {"exchange_timestamp_us": at_us, "exchange_timestamp_ms": at_us // 1000}
            if message["channel"] == "trade":
                deal = {"price": exact(one["price"]), "quantity": exact(one["qty"]), "side": one["side"]}
                yield "trades", record | deal | {"trade_id": one["trade_id"], "sequence_num": int(one["trade_id"])}
            else:
                texts = [one[name] for name in ("bid", "bid_qty", "ask", "ask_qty")]
                names = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")
                ids = {"update_id": f"{at_us}-{blake2b(' '.join(texts).encode(), digest_size=8).hexdigest()}"}
                told = {"sequence_num": None, "timestamp_source": "exchange"}
                yield "quotes", record | dict(zip(names, map(exact, texts), strict=True)) | ids | told


def _grouped(tape: Iterable[Event], settings: LocalKrakenSettings) -> Iterator[Event]:
    """Trades of a symbol that come close together share a message; `what` is a list from here on."""
    held: dict[str, Event] = {}
    for event in tape:
        open_one = held.get(event.symbol)
        together = event.sound and event.data_type == "trades"
        if together and open_one and event.at < open_one.at + 0.01 and len(open_one.what) < settings.trades_per_message:
            open_one.what.append(event.what)
            continue
        event = event._replace(what=[event.what])
        if together:
            held[event.symbol] = event
        yield event


def _spelled(one: Deal | Top, time: str) -> str:
    """A trade or a ticker as Kraken prints it."""
    if isinstance(one, Deal):
        own = (
            f'"side":"{one.side}","price":{one.price},"qty":{one.quantity},"ord_type":"limit","trade_id":{one.trade_id}'
        )
    else:
        own = f'"bid":{one.bid_price},"bid_qty":{one.bid_quantity},"ask":{one.ask_price},"ask_qty":{one.ask_quantity}'
        own += ',"last":1.5,"volume":2.5,"vwap":1.5,"low":1.25,"high":1.75,"change":-0.25,"change_pct":-14.29'
    return f'{{"symbol":"{one.symbol}",{own},"timestamp":"{time}"}}'


def _message(channel: str, kind: str, texts: list[str]) -> bytes:
    return f'{{"channel":"{channel}","type":"{kind}","data":[{",".join(texts)}]}}'.encode()


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
