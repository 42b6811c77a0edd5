"""A small exchange, Pit, and its normalizer in steps that can be broken one by one.

Trades: `{"ch":"trades","list":[{"s":"AAA","n":7,"p":"61837.63","q":"0.02","maker_side":"sell","t":1723161255342}]}`, the
maker's side, time in ms. Quotes: `{"ch":"top","s":"AAA","u":5,"b":"1.5","B":"2","a":"1.6","A":"3"}`, no time.
Control: `{"ch":"beat"}`, `{"ch":"ok","id":1}`, `{"ch":"no","id":1,"why":"…"}`, `{"ch":"bye"}`.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from k2core.plugin import (
    ChannelFacts,
    Component,
    ConnectorFacts,
    Context,
    FrameBatch,
    NormalizedBatch,
    Normalizer,
    Rejected,
    RejectFrame,
    Settings,
)

FACTS = ConnectorFacts(
    exchange="pit",
    asset_class="crypto",
    channels={
        "trades": ChannelFacts(ids="contiguous", side="maker"),
        "quotes": ChannelFacts(ids="increasing", event_time="received"),
    },
)
CONTROLS = {"beat", "ok", "no", "bye"}
Row = dict[str, Any]


class PitNormalizer(Normalizer):
    """Sound in every step. Written without k2's own simple form, so that any step can go wrong."""

    def normalize(self, batch: FrameBatch) -> NormalizedBatch:
        import pyarrow as pa

        rows: dict[str, list[Row]] = {}
        rejected, control, yielding = [], 0, 0
        for index, frame in enumerate(batch.frames):
            try:
                found = self.records(self.message(frame), batch.received_ns[index])
            except RejectFrame as error:
                rejected.append(Rejected(index, error.reason, error.detail or "refused"))
                continue
            control += found is None
            yielding += found is not None
            for name, row in found or ():
                rows.setdefault(name, []).append(row)
        return self.answer({n: pa.RecordBatch.from_pylist(r) for n, r in rows.items()}, rejected, control, yielding)

    def answer(self, records: dict[str, Any], rejected: list[Rejected], control: int, yielding: int) -> NormalizedBatch:
        return NormalizedBatch(records, rejected, control, yielding)

    def message(self, frame: bytes) -> Row:
        try:
            message = json.loads(frame.decode())
        except (ValueError, RecursionError) as error:
            raise RejectFrame("malformed-json", str(error)[:100]) from error
        if not isinstance(message, dict):
            raise RejectFrame("unknown-message", "no object")
        return message

    def records(self, message: Row, received_ns: int) -> list[tuple[str, Row]] | None:
        """Data type and row of each record; None for a control frame."""
        kind = message.get("ch")
        if kind == "trades":
            items = message.get("list")
            if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
                raise RejectFrame("missing-field", "no list of trades")
            return [("trades", self.trade(item, received_ns)) for item in self.chosen(items)]
        if kind == "top":
            return [("quotes", self.quote(message, received_ns))]
        if isinstance(kind, str) and kind in CONTROLS:
            return None
        return self.unknown(message)

    def chosen(self, items: list[Row]) -> list[Row]:
        return items

    def unknown(self, message: Row) -> list[tuple[str, Row]] | None:
        raise RejectFrame("unknown-message", "no channel of Pit")

    def trade(self, item: Row, received_ns: int) -> Row:
        number, time_us = self.integer(item, "n"), self.time_us(self.integer(item, "t"))
        return {
            **self.head(item, time_us, received_ns),
            "price": self.number(item, "p", zero=False),
            "quantity": self.number(item, "q", zero=False),
            "side": self.side(self.text(item, "maker_side")),
            "trade_id": self.trade_id(number),
            "sequence_num": number,
        }

    def quote(self, item: Row, received_ns: int) -> Row:
        names = {"bid_price": "b", "bid_quantity": "B", "ask_price": "a", "ask_quantity": "A"}
        numbers = {name: self.number(item, key, zero=True) for name, key in names.items()}
        time_us = self.quote_time_us(received_ns)
        own = {"update_id": str(self.integer(item, "u")), "sequence_num": self.quote_sequence(item)}
        return {**self.head(item, time_us, received_ns), **numbers, **own, "timestamp_source": "received"}

    def head(self, item: Row, time_us: int, received_ns: int) -> Row:
        return {
            "symbol": self.text(item, "s"),
            "exchange": "pit",
            "exchange_timestamp_ms": time_us // 1000,
            "exchange_timestamp_us": time_us,
            "received_timestamp_us": received_ns // 1000,
            "source": "live",
        }

    def side(self, maker: str) -> str:
        try:
            return {"buy": "sell", "sell": "buy"}[maker]
        except KeyError:
            raise RejectFrame("bad-side", maker) from None

    def time_us(self, time_ms: int) -> int:
        if not 10**12 <= time_ms < 10**14:
            raise RejectFrame("time-out-of-range", str(time_ms)[:40])
        return time_ms * 1000

    def quote_time_us(self, received_ns: int) -> int:
        return received_ns // 1000

    def quote_sequence(self, item: Row) -> int | None:
        return None

    def trade_id(self, number: int) -> str:
        return str(number)

    def text(self, item: Row, key: str) -> str:
        if key not in item:
            raise RejectFrame("missing-field", key)
        value = item[key]
        if not isinstance(value, str) or not value.isprintable() or not value:
            raise RejectFrame("wrong-type", f"{key} is {value!r:.60}")
        return value

    def integer(self, item: Row, key: str) -> int:
        if key not in item:
            raise RejectFrame("missing-field", key)
        value = item[key]
        if type(value) is not int or not 0 <= value < 1 << 63:
            raise RejectFrame("wrong-type", f"{key} is no id")
        return value

    def number(self, item: Row, key: str, *, zero: bool) -> float:
        text = self.text(item, key)
        try:
            exact = Decimal(text)
        except InvalidOperation:
            raise RejectFrame("bad-number", f"{key} is {text:.60}") from None
        if not exact.is_finite() or exact < 0 or (exact == 0 and not zero):
            raise RejectFrame("bad-number", f"{key} is {text:.60}")
        return self.double(text, exact)

    def double(self, text: str, exact: Decimal) -> float:
        if Decimal(repr(float(text))) != exact:
            raise RejectFrame("inexact-number", f"{text:.60} fits no double")
        return float(text)


def make(settings: Settings, context: Context) -> Normalizer:
    return PitNormalizer()


COMPONENT: Component[Normalizer] = Component(name="pit", summary="Pit's frames", settings=Settings, factory=make)
