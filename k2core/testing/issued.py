"""`Issued`, the oracle's memory, and the records in it. Shares no code with normalizers, on purpose."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

Meaning = Iterable[tuple[str, dict[str, Any]]]


class Issued:
    """The oracle's memory: notes frames as they are sent, and says which records a table must hold.

    Args:
        meaning: Data type and record of each event in a frame.
    """

    def __init__(self, meaning: Callable[[bytes], Meaning]) -> None:
        self._meaning = meaning
        self._unread: deque[bytes] = deque()
        self._records: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}

    def note(self, payload: bytes) -> None:
        """A sound frame was sent; the same frame again is the same records."""
        self._unread.append(payload)

    def records(self, data_type: str) -> list[dict[str, Any]]:
        """Distinct records, in the order in which they were first sent; the first of an id counts."""
        while self._unread:
            for name, record in self._meaning(self._unread.popleft()):
                key = record["symbol"], record["trade_id"] if name == "trades" else record["update_id"]
                self._records.setdefault(name, {}).setdefault(key, record)
        return list(self._records.get(data_type, {}).values())


def exact(text: str) -> float:
    """A number of the tape as the double that the table must hold.

    Raises:
        ValueError: No double holds it.
    """
    from decimal import Decimal

    value = float(text)
    if Decimal(repr(value)) != Decimal(text):
        raise ValueError(f"the tape holds {text}, which no double holds")
    return value


def trade(
    exchange: str, symbol: str, trade_id: str | int, price: str, quantity: str, side: str, at_us: int,
    sequence_num: int | None = None,
) -> tuple[str, dict[str, Any]]:  # fmt: skip
    """A trade that a table must hold; see `TapeExchange.trade`."""
    numbers = {"price": exact(price), "quantity": exact(quantity), "side": side}
    return "trades", _record(exchange, symbol, at_us, sequence_num) | numbers | {"trade_id": str(trade_id)}


def quote(
    exchange: str, symbol: str, update_id: str | int, bid: tuple[str, str], ask: tuple[str, str],
    at_us: int | None = None, sequence_num: int | None = None,
) -> tuple[str, dict[str, Any]]:  # fmt: skip
    """A quote that a table must hold; see `TapeExchange.quote`."""
    numbers = {"bid_price": exact(bid[0]), "bid_quantity": exact(bid[1])}
    numbers |= {"ask_price": exact(ask[0]), "ask_quantity": exact(ask[1])}
    told = {"update_id": str(update_id), "timestamp_source": "received" if at_us is None else "exchange"}
    return "quotes", _record(exchange, symbol, at_us, sequence_num) | numbers | told


def _record(exchange: str, symbol: str, at_us: int | None, sequence_num: int | None) -> dict[str, Any]:
    """What all records have; a receiver's time is not to be known here."""
    times = {} if at_us is None else {"exchange_timestamp_us": at_us, "exchange_timestamp_ms": at_us // 1000}
    return {"symbol": symbol, "exchange": exchange, "source": "live", "sequence_num": sequence_num} | times
