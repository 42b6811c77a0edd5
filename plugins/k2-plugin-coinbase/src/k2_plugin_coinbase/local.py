"""`LocalCoinbase`: a Coinbase Exchange on loopback that plays a tape in Coinbase's protocol; its oracle is `meaning`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from k2_plugin_coinbase.settings import CHANNELS, LocalCoinbaseSettings
from k2core.plugin import Clock
from k2core.testing import Dialect, Event, ServerLimits, TapeExchange, compact_json, utc_text, utc_us

OPPOSITE = {"buy": "sell", "sell": "buy"}


class CoinbaseDialect(Dialect):
    """Speaks Coinbase. A stream is a channel and a product, as `matches:BTC-USD`; heartbeats are none."""

    def __init__(self, products: Sequence[str]) -> None:
        super().__init__(products)
        self._beating = set[str]()

    def answer(self, message: bytes, current: set[str], refused: set[str]) -> tuple[list[bytes], set[str]]:
        """An error for each product that is refused, the last frame of each new stream, then all there is by channel."""
        asked = {c["name"]: c["product_ids"] for c in json.loads(message)["channels"]}
        self._beating.update(asked.pop("heartbeat", ()))
        streams = {f"{name}:{product}" for name, products in asked.items() for product in products}
        wrong = {s for s in streams if s in refused or s.partition(":")[2] not in self.symbols}
        fresh, replies = streams - wrong - current, self.refuse(message, wrong)
        for payload in (newest for stream in sorted(fresh) for newest in self.memory.newest(stream)):
            replies.append(self.memory.issue(payload).replace(b'"match"', b'"last_match"', 1))
        channels = {"heartbeat": self._beats(current | fresh)}
        for name, _, product in (stream.partition(":") for stream in sorted(current | fresh)):
            channels.setdefault(name, []).append(product)
        listed = [{"name": name, "product_ids": products, "account_ids": None} for name, products in channels.items()]
        return [*replies, compact_json({"type": "subscriptions", "channels": listed})], current | fresh

    def _beats(self, streams: set[str]) -> list[str]:
        return sorted({stream.partition(":")[2] for stream in streams} & self._beating)

    def refuse(self, message: bytes, streams: set[str]) -> list[bytes]:
        """One error a product, however many of its channels were asked for."""
        reasons = [f"{p} is not a valid product" for p in sorted({s.partition(":")[2] for s in streams})]
        return [compact_json({"type": "error", "message": "Failed to subscribe", "reason": why}) for why in reasons]

    def rest(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """`GET /products`."""
        if path != "/products":
            return 404, {}, b'{"message":"NotFound"}'
        return 200, {}, compact_json([{"id": product, "status": "online"} for product in self.symbols])

    def heartbeat(self, streams: set[str]) -> list[bytes]:
        """The newest trade id of each product; 0 before its first trade."""
        newest = {p: [json.loads(t)["trade_id"] for t in self.memory.newest(f"matches:{p}")] for p in self.symbols}
        last = {p: {"last_trade_id": max([0, *newest[p]]), "product_id": p} for p in self._beats(streams)}
        return [compact_json({"type": "heartbeat", **told, "sequence": 1}) for told in last.values()]


class LocalCoinbase(TapeExchange):
    """A local Coinbase; `TapeExchange` says what it does and which faults it plays."""

    name, speaks, channels = "coinbase", CoinbaseDialect, CHANNELS
    enforces = ServerLimits(control_per_second=100, connects_per_window=20, connect_window=1)

    def __init__(self, settings: LocalCoinbaseSettings, *, clock: Clock | None = None) -> None:
        limits = replace(self.enforces, heartbeat_interval=settings.heartbeat_s)
        super().__init__(settings, limits=limits, clock=clock)

    def render(self, event: Event, now_us: int) -> bytes:
        """A `match` with the maker's side, or a `ticker`."""
        common, what = {"product_id": event.symbol, "time": utc_text(now_us)}, event.what
        if event.data_type == "trades":
            deal = {"price": what.price, "size": what.quantity, "side": OPPOSITE[what.side]}
            told = {"type": "match", "trade_id": what.trade_id, **deal, "sequence": 2 * what.trade_id}
        else:
            bid = {"best_bid": what.bid_price, "best_bid_size": what.bid_quantity}
            ask = {"best_ask": what.ask_price, "best_ask_size": what.ask_quantity}
            told = {"type": "ticker", "sequence": what.update_id, "price": what.bid_price, **bid, **ask}
        return compact_json(told | common)

    def meaning(self, payload: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
        """What a frame says, by the standard library alone."""
        event = json.loads(payload)
        symbol, at_us = event["product_id"], utc_us(event["time"])
        if event["type"] == "match":
            number, side = event["trade_id"], OPPOSITE[event["side"]]
            yield self.trade(symbol, number, event["price"], event["size"], side, at_us, sequence_num=number)
        else:
            bid, ask = (event["best_bid"], event["best_bid_size"]), (event["best_ask"], event["best_ask_size"])
            yield self.quote(symbol, event["sequence"], bid, ask, at_us)
