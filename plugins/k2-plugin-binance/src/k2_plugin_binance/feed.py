"""`BinanceFeed`: Binance spot's WebSocket dialect without I/O; core connects, paces, shards and reconnects.

Faults survived here: any bytes in a frame; an `exchangeInfo` that refuses a whole request for one unknown symbol.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

import msgspec

from k2_plugin_binance.endpoints import (
    chunks,
    exchange_info_params,
    exchange_info_url,
    stream_name,
    subscribe_message,
    websocket_url,
)
from k2_plugin_binance.frames import UNREADABLE, Control, inspect
from k2_plugin_binance.settings import BinanceSettings
from k2core.plugin import (
    ConnectionLimits,
    ConnectorError,
    FrameKind,
    Reply,
    Request,
    RestClient,
    RestResponse,
    Subscription,
    WebSocketFeed,
)

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


class BinanceFeed(WebSocketFeed):
    """Binance spot's trades and best quotes.

    Args:
        settings: What to capture and from where.
    """

    def __init__(self, settings: BinanceSettings) -> None:
        self._settings = settings
        self.limits = ConnectionLimits(
            streams_per_connection=settings.streams_per_connection,
            control_per_second=settings.control_per_second,
            connects_per_window=settings.connects_per_window,
            connect_window=settings.connect_window_s,
            max_frame_bytes=settings.max_frame_bytes,
            frame_timeout=settings.frame_timeout_s,
            data_timeout=settings.data_timeout_s,
            ack_timeout=settings.ack_timeout_s,
            max_age=settings.max_age_s,
        )

    def subscriptions(self) -> Sequence[Subscription]:
        """Each symbol with each data type."""
        wanted = self._settings
        return [Subscription(symbol, data_type) for symbol in wanted.symbols for data_type in wanted.data_types]

    def endpoint(self, subscriptions: Sequence[Subscription]) -> str:
        """`/stream` or `/ws`; the streams themselves are subscribed to by message, which is acknowledged."""
        wanted = self._settings
        return websocket_url(wanted.websocket_url, combined=wanted.combined, time_unit=wanted.time_unit)

    def subscribe(self, subscriptions: Sequence[Subscription], first_id: int) -> Sequence[Request]:
        """SUBSCRIBE messages of at most `params_per_request` streams."""
        parts = enumerate(chunks(subscriptions, self._settings.params_per_request), first_id)
        return [
            Request(subscribe_message([stream_name(one) for one in part], number), str(number), tuple(part))
            for number, part in parts
        ]

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

    def classify(self, frame: bytes) -> Reply:
        """Read an acknowledgement, a refusal or the server's farewell."""
        what = inspect(frame)
        if not isinstance(what, Control):
            return Reply(FrameKind.OTHER)
        return Reply(_KINDS[what.what], what.request_id, what.message)

    async def check(self, rest: RestClient) -> Sequence[Subscription]:
        """Ask `exchangeInfo` which symbols exist; a halted one does, and may trade again."""
        if not self._settings.check_symbols:
            return ()
        unknown: set[str] = set()
        for part in chunks(self._settings.symbols, self._settings.symbols_per_check):
            unknown.update(await self._unknown(rest, part))
        return [one for one in self.subscriptions() if one.symbol in unknown]

    async def _unknown(self, rest: RestClient, symbols: Sequence[str]) -> Iterable[str]:
        """Unknown symbols among these. One of them makes Binance refuse the request, so a refused one is halved."""
        answer = await rest.get(exchange_info_url(self._settings.rest_url), exchange_info_params(symbols))
        if _names_unknown(answer):
            if len(symbols) == 1:
                return symbols
            half = len(symbols) // 2
            return [*await self._unknown(rest, symbols[:half]), *await self._unknown(rest, symbols[half:])]
        return set(symbols) - _listed(answer)


def _names_unknown(answer: RestResponse) -> bool:
    """`{"code":-1121,"msg":"Invalid symbol."}`, or -1100 for characters that no symbol has."""
    if answer.status != 400:
        return False
    with suppress(*UNREADABLE):  # a 400 that Binance did not write says nothing about symbols
        return msgspec.json.decode(answer.body, type=_Error).code in (-1121, -1100)
    return False


def _listed(answer: RestResponse) -> set[str]:
    """Symbols in an answer of `exchangeInfo`.

    Raises:
        ConnectorError: It is no such answer.
    """
    if answer.status != 200:
        raise ConnectorError(f"exchangeInfo answered {answer.status}: {answer.body[:200]!r}; the check is tried again")
    try:
        return {one.symbol for one in msgspec.json.decode(answer.body, type=_ExchangeInfo).symbols}
    except UNREADABLE as error:
        raise ConnectorError(f"exchangeInfo answered what is no list of symbols: {error}") from error
