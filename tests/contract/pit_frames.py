"""Frames of Pit, and what they mean; the suite of Pit's normalizer, to be given another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from k2core.plugin import Normalizer
from k2core.testing import Example, NormalizerSuite
from tests.contract.pit_normalizer import COMPONENT, FACTS


def item(number: int, price: str, quantity: str, maker: str, time_ms: int, symbol: str = "AAA") -> str:
    return f'{{"s":"{symbol}","n":{number},"p":"{price}","q":"{quantity}","maker_side":"{maker}","t":{time_ms}}}'


def trades(*items: str) -> bytes:
    return f'{{"ch":"trades","list":[{",".join(items)}]}}'.encode()


def top(update: int, bid: str, ask: str, symbol: str = "AAA") -> bytes:
    return f'{{"ch":"top","s":"{symbol}","u":{update},"b":"{bid}","B":"2.25","a":"{ask}","A":"3.75"}}'.encode()


def traded(number: int, price: str, quantity: str, side: str, time_ms: int) -> Mapping[str, Any]:
    identity = {"symbol": "AAA", "trade_id": str(number), "source": "live"}
    return {**identity, "price": price, "quantity": quantity, "side": side, "exchange_timestamp_us": time_ms * 1000}


def quoted(update: int, bid: str, ask: str) -> Mapping[str, Any]:
    numbers = {"bid_price": bid, "bid_quantity": "2.25", "ask_price": ask, "ask_quantity": "3.75"}
    return {"symbol": "AAA", "update_id": str(update), **numbers, "source": "live"}


T = 1_723_161_255_342
ONE = trades(item(7, "61837.63", "0.02", "sell", T))
TWO = trades(item(8, "61837.64", "0.03", "buy", T + 1), item(9, "61837.65", "0.04", "sell", T + 2))
TOP = top(50, "61837.61", "61837.66")
LATER_TOP = top(57, "61837.62", "61837.67")
EXAMPLES = (
    Example(ONE, {"trades": [traded(7, "61837.63", "0.02", "buy", T)]}),
    Example(
        TWO,
        {"trades": [traded(8, "61837.64", "0.03", "sell", T + 1), traded(9, "61837.65", "0.04", "buy", T + 2)]},
    ),
    Example(TOP, {"quotes": [quoted(50, "61837.61", "61837.66")]}),
    Example(
        trades(item(10, "61837.7", "0.05", "buy", T + 3)), {"trades": [traded(10, "61837.7", "0.05", "sell", T + 3)]}
    ),
    Example(LATER_TOP, {"quotes": [quoted(57, "61837.62", "61837.67")]}),
)
CONTROL = (b'{"ch":"beat"}', b'{"ch":"ok","id":1}', b'{"ch":"no","id":1,"why":"no such symbol"}', b'{"ch":"bye"}')


class PitSuite(NormalizerSuite):
    """The standard tests on Pit."""

    component = COMPONENT
    facts = FACTS
    examples = EXAMPLES
    control = CONTROL


def suite_of(normalizer: type[Normalizer], **declared: Any) -> type[NormalizerSuite]:
    """The suite on another normalizer, with other declarations."""

    def made(self: PitSuite, **options: Any) -> Normalizer:
        return normalizer()

    return type(f"Suite{normalizer.__name__}", (PitSuite,), {"make": made, **declared})
