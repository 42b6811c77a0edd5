"""`BinanceFeed`: Binance spot's WebSocket dialect without I/O; core connects, paces, shards and reconnects.

Faults survived here: any bytes in a frame; an `exchangeInfo` that refuses a whole request for one unknown symbol.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from k2_plugin_binance.endpoints import (
    CHANNELS,
    chunks,
    exchange_info_params,
    exchange_info_url,
    stream_name,
    websocket_url,
)
from k2_plugin_binance.frames import Control, inspect
from k2_plugin_binance.settings import BinanceSettings
from k2core.plugin import UNREADABLE, ExchangeFeed, FrameKind, Reply, RestClient, RestResponse, Subscription

_KINDS = {
    "ack": FrameKind.ACK,
    "refused": FrameKind.REFUSED,
    "shutdown": FrameKind.CLOSING,
    "answer": FrameKind.OTHER,
}


class _Symbol(msgspec.Struct):
    symbol: str


class _ExchangeInfo(msgspec.Struct):
    """`{"timezone":"UTC","serverTime":…,"symbols":[{"symbol":"BTCUSDT","status":"TRADING",…}]}`."""

    symbols: list[_Symbol]


class _Error(msgspec.Struct):
    code: int


_exchange_info = msgspec.json.Decoder(_ExchangeInfo).decode


class BinanceFeed(ExchangeFeed[BinanceSettings]):
    """Binance spot's trades and best quotes."""

    channels = CHANNELS

    def endpoint(self, subscriptions: Sequence[Subscription]) -> str:
        """`/stream` or `/ws`; the streams themselves are subscribed to by message, which is acknowledged."""
        wanted = self.settings
        return websocket_url(wanted.websocket_url, combined=wanted.combined, time_unit=wanted.time_unit)

    def message(self, subscriptions: Sequence[Subscription], number: int) -> Any:
        """`{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}`, answered by `{"result":null,"id":1}`."""
        return {"method": "SUBSCRIBE", "params": [stream_name(one) for one in subscriptions], "id": number}

    def is_data(self, frame: bytes) -> bool:
        """Whether a frame goes to the normalizer: all but what is clearly control.

        The prefixes settle the usual frames. What begins in no known way is looked at, so that an oddly spaced
        acknowledgement is still one, and garbage still becomes a dead letter.
        """
        if frame.startswith(b'{"stream":"'):
            return not frame.startswith(b'{"stream":"!')
        if frame.startswith((b'{"e":"trade"', b'{"u":')):
            return True
        return not isinstance(inspect(frame), Control)

    def reply(self, frame: bytes) -> Reply:
        """Read an acknowledgement, a refusal or the server's farewell."""
        what = inspect(frame)
        if not isinstance(what, Control):
            return Reply(FrameKind.OTHER)
        return Reply(_KINDS[what.what], what.request_id, what.message)

    async def known(self, rest: RestClient, symbols: Sequence[str]) -> Collection[str]:
        """Ask `exchangeInfo` which symbols exist; a halted one does, and may trade again."""
        unknown: set[str] = set()
        for part in chunks(symbols, self.settings.symbols_per_check):
            unknown.update(await self._unknown(rest, part))
        return set(symbols) - unknown

    async def _unknown(self, rest: RestClient, symbols: Sequence[str]) -> Iterable[str]:
        """Unknown symbols among these. One of them makes Binance refuse the request, so a refused one is halved."""
        answer = await rest.get(exchange_info_url(self.settings.rest_url), exchange_info_params(symbols))
        if _names_unknown(answer):
            if len(symbols) == 1:
                return symbols
            half = len(symbols) // 2
            return [*await self._unknown(rest, symbols[:half]), *await self._unknown(rest, symbols[half:])]
        listed = answer.read("exchangeInfo", _exchange_info).symbols
        return set(symbols) - {one.symbol for one in listed}


def _names_unknown(answer: RestResponse) -> bool:
    """`{"code":-1121,"msg":"Invalid symbol."}`, or -1100 for characters that no symbol has."""
    if answer.status != 400:
        return False
    with suppress(*UNREADABLE):  # a 400 that Binance did not write says nothing about symbols
        return msgspec.json.decode(answer.body, type=_Error).code in (-1121, -1100)
    return False
