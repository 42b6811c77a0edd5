"""Tapes: what a local exchange plays. A price that walks in ticks and ids that count, before any exchange spells them.

A tape is a list of `Event`s in playing order; an exchange turns each into the bytes of its own protocol.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

FIRST_TRADE_ID = 3_735_683_259
FIRST_UPDATE_ID = 50_093_239_212
_ID_STEP = 731_234_567
_FIRST_PRICES = (61_837.63, 2_683.80, 512.40, 156.72, 0.5891, 0.3350)
_BURSTS = 12
_IN_BURSTS = 0.4


class Deal(NamedTuple):
    """One execution. Price and quantity are decimal text with eight digits behind the point.

    Args:
        symbol: What was traded.
        trade_id: The last of the symbol + 1.
        price: Above zero.
        quantity: Above zero.
        side: The aggressor's, `buy` or `sell`.
    """

    symbol: str
    trade_id: int
    price: str
    quantity: str
    side: str


class Top(NamedTuple):
    """The best bid and ask after a change of either, one tick apart; numbers as in `Deal`.

    Args:
        symbol: Whose book.
        update_id: Above the last of the symbol, with holes.
        bid_price: Above zero.
        bid_quantity: Above zero.
        ask_price: Above zero.
        ask_quantity: Above zero.
    """

    symbol: str
    update_id: int
    bid_price: str
    bid_quantity: str
    ask_price: str
    ask_quantity: str


class Event(NamedTuple):
    """One frame of a tape.

    Args:
        at: Seconds after the tape's start.
        data_type: `trades` or `quotes`.
        symbol: Whose it is.
        what: A `Deal` or a `Top`, or several, or whatever the exchange renders.
        sound: Whether it is a record; a malformed one is sent broken off in the middle, and spends no id.
    """

    at: float
    data_type: str
    symbol: str
    what: Any
    sound: bool = True


class Market:
    """One symbol.

    Args:
        symbol: Its name.
        number: Markets of different numbers have different prices and ids.
        pick: Where chance comes from.
    """

    def __init__(self, symbol: str, number: int, pick: random.Random) -> None:
        self.symbol, self._pick = symbol, pick
        self._trade_id = FIRST_TRADE_ID + _ID_STEP * number
        self._update_id = FIRST_UPDATE_ID + _ID_STEP * number
        price = _FIRST_PRICES[number % len(_FIRST_PRICES)]
        self._decimals = 2 if price >= 100 else 4
        self._ticks = round(price * 10**self._decimals)

    def trade(self) -> Deal:
        """The next trade: at the bid where the seller was the aggressor, else at the ask."""
        pick = self._pick
        self._ticks = max(100, self._ticks + pick.choice((-3, -1, -1, 0, 0, 0, 1, 1, 3)))
        sold = pick.random() < 0.5
        price = self._price(self._ticks if sold else self._ticks + 1)
        self._trade_id += 1
        return Deal(self.symbol, self._trade_id - 1, price, self._quantity(), "sell" if sold else "buy")

    def quote(self) -> Top:
        """A new best bid and ask."""
        self._update_id += self._pick.randrange(1, 9)
        bid, ask = self._price(self._ticks), self._price(self._ticks + 1)
        return Top(self.symbol, self._update_id, bid, self._quantity(), ask, self._quantity())

    def next(self, at: float, kind: str) -> Event:
        """The next event of a kind: `trade`, `quote` or `malformed`."""
        if kind == "quote":
            return Event(at, "quotes", self.symbol, self.quote())
        if kind == "trade":
            return Event(at, "trades", self.symbol, self.trade())
        return Event(at, "trades", self.symbol, Deal(self.symbol, self._trade_id, "1.5", "2.5", "buy"), sound=False)

    def _price(self, ticks: int) -> str:
        whole, part = divmod(ticks, 10**self._decimals)
        return f"{whole}.{part:0{self._decimals}d}".ljust(len(str(whole)) + 9, "0")

    def _quantity(self) -> str:
        units = int(self._pick.paretovariate(1.2) * 1000)
        return "{}.{:05d}000".format(*divmod(units, 100_000))


def generated(
    symbols: Sequence[str], *, trades: int, quotes_per_trade: float, seconds: float, malformed: int, seed: int
) -> list[Event]:
    """A tape from a seed: the first symbols are the busiest, and much comes in a dozen short bursts.

    Args:
        symbols: Who trades.
        trades: How many trades in all.
        quotes_per_trade: How many quotes for each of them.
        seconds: How long the tape plays.
        malformed: How many malformed frames stand among the others.
        seed: The same arguments give the same tape.
    """
    pick = random.Random(seed)  # noqa: S311 - a repeatable tape, no secret
    markets = [Market(symbol, number, pick) for number, symbol in enumerate(symbols)]
    weights = [1 / (number + 1) for number in range(len(markets))]
    kinds = ["trade"] * trades + ["quote"] * round(trades * quotes_per_trade) + ["malformed"] * malformed
    pick.shuffle(kinds)
    chosen = pick.choices(markets, weights, k=len(kinds))
    moments = _moments(pick, len(kinds), seconds)
    return [market.next(at, kind) for kind, market, at in zip(kinds, chosen, moments, strict=True)]


def grouped(tape: Iterable[Event], most: int, within_s: float = 0.01) -> Iterator[Event]:
    """A tape whose frames hold several trades: those of a symbol that come close together. `what` is a list then.

    Args:
        tape: Events of one `Deal` or `Top` each.
        most: Trades that a frame holds, at most; quotes stay alone, in lists of one.
        within_s: How far behind its first one a frame's last trade may come.
    """
    open_frames: dict[str, Event] = {}
    for event in tape:
        together = event.sound and event.data_type == "trades"
        frame = open_frames.get(event.symbol) if together else None
        if frame and event.at < frame.at + within_s and len(frame.what) < most:
            frame.what.append(event.what)
            continue
        event = event._replace(what=[event.what])
        if together:
            open_frames[event.symbol] = event
        yield event


def _moments(pick: random.Random, count: int, seconds: float) -> list[float]:
    """Sorted times: most spread evenly, the rest crowded into bursts of a fiftieth of the playing time."""
    starts = [pick.uniform(0, seconds * 0.98) for _ in range(_BURSTS)]
    return sorted(
        pick.choice(starts) + pick.uniform(0, seconds * 0.02)
        if pick.random() < _IN_BURSTS
        else pick.uniform(0, seconds)
        for _ in range(count)
    )
