"""Binance spot's addresses, stream names and requests.

Source: binance/binance-spot-api-docs, web-socket-streams.md ("General WSS information", "Websocket Limits", "Live
Subscribing/Unsubscribing to streams") and rest-api.md ("Exchange information"), as of 2026-07-21.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from k2core.plugin import Subscription

T = TypeVar("T")

CHANNELS: Mapping[str, str] = {"trades": "@trade", "quotes": "@bookTicker"}
"""Suffix of the stream that carries a data type."""


def stream_name(subscription: Subscription) -> str:
    """The stream of a subscription: the symbol in lower case and the channel, as `btcusdt@trade`."""
    return subscription.symbol.lower() + CHANNELS[subscription.data_type]


def websocket_url(base: str, *, combined: bool, time_unit: str) -> str:
    """Where to connect: `/stream` wraps each event with its stream's name, `/ws` sends events bare.

    `timeUnit=MICROSECOND` makes every time field of the connection microseconds; milliseconds are the default.
    """
    query = "?timeUnit=MICROSECOND" if time_unit == "microsecond" else ""
    return f"{base}/{'stream' if combined else 'ws'}{query}"


def exchange_info_url(base: str) -> str:
    """`GET /api/v3/exchangeInfo`, request weight 20 of 6,000 a minute."""
    return f"{base}/api/v3/exchangeInfo"


def exchange_info_params(symbols: Sequence[str]) -> dict[str, str]:
    """Ask for some symbols only, without the long list of permissions."""
    return {
        "symbols": json.dumps(list(symbols), separators=(",", ":"), ensure_ascii=False),
        "showPermissionSets": "false",
    }


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Consecutive parts of at most `size` items."""
    for first in range(0, len(items), size):
        yield items[first : first + size]
