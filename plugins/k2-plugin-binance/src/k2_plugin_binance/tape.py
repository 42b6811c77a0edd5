"""Tapes: what the local exchange plays, generated from a seed or read from recordings.

A tape is a list of `Event`s in playing order. Payloads are bare (the dialect wraps them) and their times are Unix ms.
"""

from __future__ import annotations

from typing import NamedTuple

from k2_plugin_binance.endpoints import stream_name
from k2core import testing
from k2core.plugin import Subscription


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


def spelled(event: testing.Event) -> Event:
    """An event of a generated tape as Binance prints it."""
    stream = stream_name(Subscription(event.symbol, event.data_type))
    if isinstance(event.what, testing.Deal):
        return Event(event.at, stream, _trade(event.what), timed=True, sound=event.sound)
    return Event(event.at, stream, _quote(event.what), timed=False)


def _trade(deal: testing.Deal) -> bytes:
    maker_bought = "true" if deal.side == "sell" else "false"
    text = f'"s":"{deal.symbol}","t":{deal.trade_id},"p":"{deal.price}","q":"{deal.quantity}","T":%d,"m":{maker_bought}'
    return f'{{"e":"trade","E":%d,{text},"M":true}}'.encode()


def _quote(top: testing.Top) -> bytes:
    bid = f'"b":"{top.bid_price}","B":"{top.bid_quantity}"'
    ask = f'"a":"{top.ask_price}","A":"{top.ask_quantity}"'
    return f'{{"u":{top.update_id},"s":"{top.symbol}",{bid},{ask}}}'.encode()
