"""`LocalCoinbase`: a Coinbase Exchange on loopback that plays a tape in Coinbase's protocol; its oracle is `meaning`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from k2_plugin_coinbase.settings import CHANNELS, LocalCoinbaseSettings
from k2core.plugin import Clock
from k2core.testing import Dialect, Event, Issued, ServerLimits, TapeExchange, broken_off, exact, generated

OPPOSITE = {"buy": "sell", "sell": "buy"}


def dump(**fields: Any) -> bytes:
    """A message, spelled without spaces."""
    return json.dumps(fields, separators=(",", ":")).encode()


class CoinbaseDialect(Dialect):
    """Speaks Coinbase. A stream is a channel and a product, as `matches:BTC-USD`; heartbeats are none.

    Args:
        products: Those that exist.

    Attributes:
        last: The newest frame of each stream: a subscription begins with it.
        noted: Told of each one that is sent so.
    """

    noted: Issued

    def __init__(self, products: Sequence[str]) -> None:
        self._products, self._beating, self.last = list(products), set[str](), dict[str, bytes]()

    def on_connect(self, path: str) -> set[str]:
        """Nothing is subscribed to by address."""
        return set()

    def on_message(self, message: bytes, current: set[str]) -> tuple[list[bytes], set[str]]:
        """Subscribe to all that exist."""
        return self.answer(message, current, set())

    def answer(self, message: bytes, current: set[str], refused: set[str]) -> tuple[list[bytes], set[str]]:
        """An error for each product that is refused, the last frame of each new stream, then all there is by channel."""
        asked = {c["name"]: c["product_ids"] for c in json.loads(message)["channels"]}
        self._beating.update(asked.pop("heartbeat", ()))
        streams = {f"{name}:{product}" for name, products in asked.items() for product in products}
        wrong = {s for s in streams if s in refused or s.partition(":")[2] not in self._products}
        fresh, replies = streams - wrong - current, self.refuse(message, wrong)
        for stream in sorted(fresh & self.last.keys()):
            self.noted.note(self.last[stream])
            replies.append(self.last[stream].replace(b'"match"', b'"last_match"', 1))
        channels = {"heartbeat": self._beats(current | fresh)}
        for name, _, product in (stream.partition(":") for stream in sorted(current | fresh)):
            channels.setdefault(name, []).append(product)
        listed = [{"name": name, "product_ids": products, "account_ids": None} for name, products in channels.items()]
        return [*replies, dump(type="subscriptions", channels=listed)], current | fresh

    def _beats(self, streams: set[str]) -> list[str]:
        return sorted({stream.partition(":")[2] for stream in streams} & self._beating)

    def refuse(self, message: bytes, streams: set[str]) -> list[bytes]:
        """One error a product, however many of its channels were asked for."""
        reasons = [f"{p} is not a valid product" for p in sorted({s.partition(":")[2] for s in streams})]
        return [dump(type="error", message="Failed to subscribe", reason=reason) for reason in reasons]

    def rest(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """`GET /products`."""
        products = [{"id": product, "status": "online"} for product in self._products]
        return (200, {}, json.dumps(products).encode()) if path == "/products" else (404, {}, dump(message="NotFound"))

    def heartbeat(self, streams: set[str]) -> list[bytes]:
        """The newest trade id of each product; 0 before its first trade."""
        products = self._beats(streams)
        last = {p: json.loads(self.last.get(f"matches:{p}", b'{"trade_id":0}'))["trade_id"] for p in products}
        return [dump(type="heartbeat", last_trade_id=last[p], product_id=p, sequence=2 * last[p]) for p in products]

    def shutdown_frame(self, path: str) -> bytes:
        """Coinbase says nothing before it closes."""
        return b""


class LocalCoinbase(TapeExchange):
    """A local Coinbase; see `TapeExchange`."""

    def __init__(self, settings: LocalCoinbaseSettings, *, clock: Clock | None = None) -> None:
        self._settings, self.dialect = settings, CoinbaseDialect(settings.symbols)
        limits = ServerLimits(control_per_second=100, connects_per_window=20, connect_window=1,
                              heartbeat_interval=settings.heartbeat_s)  # fmt: skip
        made = {"trades", "quotes_per_trade", "seconds", "malformed", "seed"}
        tape = generated(settings.symbols, **settings.model_dump(include=made))
        super().__init__(settings, self.dialect, tape, limits=limits, clock=clock)
        self.dialect.noted = self.noted

    def settings(self) -> dict[str, Any]:
        """`[connectors.coinbase]` settings that reach this exchange."""
        wanted = self._settings.model_dump(include={"symbols", "data_types"})
        return {**wanted, "websocket_url": self.exchange.url, "rest_url": self.exchange.rest_url}

    def streams(self) -> set[str]:
        """Each channel of each product."""
        return {f"{CHANNELS[kind]}:{symbol}" for kind in self._settings.data_types for symbol in self._settings.symbols}

    def stream(self, event: Event) -> str:
        """`matches:…` or `ticker:…`."""
        return f"{CHANNELS[event.data_type]}:{event.symbol}"

    def render(self, event: Event, now_us: int) -> bytes:
        """A `match` with the maker's side, or a `ticker`."""
        time = datetime.fromtimestamp(now_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        common, what = {"product_id": event.symbol, "time": time}, event.what
        if event.data_type == "trades":
            deal = {"price": what.price, "size": what.quantity, "side": OPPOSITE[what.side]}
            frame = dump(type="match", trade_id=what.trade_id, **deal, sequence=2 * what.trade_id, **common)
        else:
            bid = {"best_bid": what.bid_price, "best_bid_size": what.bid_quantity}
            ask = {"best_ask": what.ask_price, "best_ask_size": what.ask_quantity}
            frame = dump(type="ticker", sequence=what.update_id, price=what.bid_price, **bid, **ask, **common)
        if not event.sound:
            return broken_off(frame)
        self.dialect.last[self.stream(event)] = frame
        return frame

    def meaning(self, payload: bytes) -> list[tuple[str, dict[str, Any]]]:
        """What a frame says, by the standard library alone."""
        event = json.loads(payload)
        at_us = round(datetime.fromisoformat(event["time"]).timestamp() * 1e6)
        record = {"symbol": event["product_id"], "exchange": "coinbase", "exchange_timestamp_ms": at_us // 1000}
        record |= {"exchange_timestamp_us": at_us, "source": "live"}
        if event["type"] == "match":
            deal = {"price": exact(event["price"]), "quantity": exact(event["size"]), "side": OPPOSITE[event["side"]]}
            return [("trades", record | deal | {"trade_id": str(event["trade_id"]), "sequence_num": event["trade_id"]})]
        bid = {"bid_price": exact(event["best_bid"]), "bid_quantity": exact(event["best_bid_size"])}
        ask = {"ask_price": exact(event["best_ask"]), "ask_quantity": exact(event["best_ask_size"])}
        ids = {"update_id": str(event["sequence"]), "sequence_num": None, "timestamp_source": "exchange"}
        return [("quotes", record | bid | ask | ids)]
