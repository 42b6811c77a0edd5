"""`LocalBinance`: a Binance on loopback that plays a tape, generated or recorded, to whoever subscribes."""

from __future__ import annotations

import json
import re
from typing import Any

from k2_plugin_binance.endpoints import stream_name
from k2_plugin_binance.issued import meaning
from k2_plugin_binance.protocol import BinanceDialect
from k2_plugin_binance.recordings import recorded, symbols_of, with_malformed
from k2_plugin_binance.settings import LocalBinanceSettings
from k2_plugin_binance.tape import Event, generated
from k2core.plugin import Clock, Subscription, SystemClock
from k2core.testing import Placed, ServerLimits, TapeExchange

_SERVER_LIMITS = ServerLimits(
    streams_per_connection=1024, control_per_second=5, connects_per_window=300, ping_interval=20
)


_TRADE, _QUOTE = {"s", "t", "p"}, {"s", "u", "b", "A"}
_COMBINED = re.compile(rb'\{"stream":"[^"]+","data":(.*)\}')


class LocalBinance(TapeExchange):
    """A local Binance; `TapeExchange` says what it does and which faults it plays.

    Args:
        settings: The tape, and how it is played.
        clock: Time of the events.
    """

    def __init__(self, settings: LocalBinanceSettings, *, clock: Clock | None = None) -> None:
        tape, clock = _tape(settings), clock or SystemClock()
        self._settings = settings
        self._symbols = symbols_of(tape) if settings.recordings else list(settings.symbols)
        super().__init__(settings, BinanceDialect(self._symbols, clock), tape, limits=_SERVER_LIMITS, clock=clock)

    def settings(self) -> dict[str, Any]:
        """`[connectors.binance]` settings that reach this exchange."""
        return {
            "symbols": list(self._symbols),
            "websocket_url": self.exchange.url,
            "rest_url": self.exchange.rest_url,
            "data_types": list(self._settings.data_types),
            "combined": self._settings.combined,
            "time_unit": self._settings.time_unit,
        }

    def streams(self) -> set[str]:
        """Every symbol with every data type."""
        wanted = (Subscription(symbol, kind) for symbol in self._symbols for kind in self._settings.data_types)
        return {stream_name(one) for one in wanted}

    def stream(self, event: Event) -> str:
        """As the tape says."""
        return event.stream

    def render(self, event: Event, now_us: int) -> bytes:
        """The payload with the time of now."""
        return event.rendered(now_us // 1000)

    def meaning(self, payload: bytes) -> list[tuple[str, dict[str, Any]]]:
        """The oracle; quotes have no time of their own, so theirs is left out."""
        return meaning(payload)

    def placed(self, frame: bytes) -> Placed | None:
        """Combined frames name their stream, raw ones are told by their fields; channels that k2 does not read: None."""
        whole = json.loads(frame)
        event = whole.get("data", whole)
        if event.get("e", "trade") != "trade" or not (event.keys() >= _TRADE or event.keys() >= _QUOTE):
            return None
        one = Subscription(event["s"], "trades" if "t" in event else "quotes")
        combined = _COMBINED.fullmatch(frame)
        return Placed(stream_name(one), one.data_type, one.symbol, combined[1] if combined else frame)


def _tape(settings: LocalBinanceSettings) -> list[Event]:
    if settings.recordings:
        return with_malformed(recorded(settings.recordings, rate=settings.rate), settings.malformed)
    return generated(
        settings.symbols,
        trades=settings.trades,
        quotes_per_trade=settings.quotes_per_trade,
        seconds=settings.seconds,
        malformed=settings.malformed,
        seed=settings.seed,
    )
