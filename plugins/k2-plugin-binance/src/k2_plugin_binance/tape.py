"""Tapes: what the local exchange plays, generated from a seed or read from recordings.

A tape is a list of `Event`s in playing order. Payloads are bare (the dialect wraps them) and their times are Unix ms.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

FIRST_TRADE_ID = 3_735_683_259
FIRST_UPDATE_ID = 50_093_239_212
_ID_STEP = 731_234_567
_FIRST_PRICES = (61_837.63, 2_683.80, 512.40, 156.72, 0.5891, 0.3350)
_BURSTS = 12
_IN_BURSTS = 0.4


class Event(NamedTuple):
    """One frame of a tape.

    Args:
        at: Seconds after the tape's start.
        stream: The stream that carries it.
        payload: The bare event.
        timed: Whether `payload` has places (`%d`) for the time of sending, in Unix ms.
        sound: Whether it is a record; malformed frames are not.
    """

    at: float
    stream: str
    payload: bytes
    timed: bool
    sound: bool = True

    def rendered(self, now_ms: int) -> bytes:
        """The payload, sent now."""
        return self.payload % ((now_ms,) * self.payload.count(b"%d")) if self.timed else self.payload


class _Market:
    """One symbol: a price that walks in ticks, and ids that count."""

    def __init__(self, symbol: str, number: int, pick: random.Random) -> None:
        self.symbol, self._pick = symbol, pick
        self._stream = symbol.lower()
        self._trade_id = FIRST_TRADE_ID + _ID_STEP * number
        self._update_id = FIRST_UPDATE_ID + _ID_STEP * number
        price = _FIRST_PRICES[number % len(_FIRST_PRICES)]
        self._decimals = 2 if price >= 100 else 4
        self._ticks = round(price * 10**self._decimals)

    def trade(self, at: float) -> Event:
        """The next trade: at the bid where the seller was the aggressor, else at the ask."""
        pick = self._pick
        self._ticks = max(100, self._ticks + pick.choice((-3, -1, -1, 0, 0, 0, 1, 1, 3)))
        sold = pick.random() < 0.5
        payload = b'{"e":"trade","E":%%d,"s":"%b","t":%d,"p":"%b","q":"%b","T":%%d,"m":%b,"M":true}' % (
            self.symbol.encode(),
            self._trade_id,
            self._price(self._ticks if sold else self._ticks + 1),
            self._quantity(),
            b"true" if sold else b"false",
        )
        self._trade_id += 1
        return Event(at, f"{self._stream}@trade", payload, timed=True)

    def quote(self, at: float) -> Event:
        """A new best bid and ask, one tick apart."""
        self._update_id += self._pick.randrange(1, 9)
        payload = b'{"u":%d,"s":"%b","b":"%b","B":"%b","a":"%b","A":"%b"}' % (
            self._update_id,
            self.symbol.encode(),
            self._price(self._ticks),
            self._quantity(),
            self._price(self._ticks + 1),
            self._quantity(),
        )
        return Event(at, f"{self._stream}@bookTicker", payload, timed=False)

    def malformed(self, at: float) -> Event:
        """A trade that breaks off in the middle; no id is spent on it."""
        return Event(at, f"{self._stream}@trade", b'{"e":"trade","E":%d,"s":"', timed=True, sound=False)

    def _price(self, ticks: int) -> bytes:
        whole, part = divmod(ticks, 10**self._decimals)
        return f"{whole}.{part:0{self._decimals}d}".ljust(len(str(whole)) + 9, "0").encode()

    def _quantity(self) -> bytes:
        units = int(self._pick.paretovariate(1.2) * 1000)
        return b"%d.%05d000" % divmod(units, 100_000)


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
    markets = [_Market(symbol, number, pick) for number, symbol in enumerate(symbols)]
    weights = [1 / (number + 1) for number in range(len(markets))]
    kinds = ["trade"] * trades + ["quote"] * round(trades * quotes_per_trade) + ["malformed"] * malformed
    pick.shuffle(kinds)
    chosen = pick.choices(markets, weights, k=len(kinds))
    return [
        getattr(market, kind)(at)
        for kind, market, at in zip(kinds, chosen, _moments(pick, len(kinds), seconds), strict=True)
    ]


def _moments(pick: random.Random, count: int, seconds: float) -> list[float]:
    """Sorted times: most spread evenly, the rest crowded into bursts of a fiftieth of the playing time."""
    starts = [pick.uniform(0, seconds * 0.98) for _ in range(_BURSTS)]
    return sorted(
        pick.choice(starts) + pick.uniform(0, seconds * 0.02)
        if pick.random() < _IN_BURSTS
        else pick.uniform(0, seconds)
        for _ in range(count)
    )
