"""`LocalBinance`: a Binance on loopback that plays a tape, generated or recorded, to whoever subscribes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from k2_plugin_binance.endpoints import stream_name
from k2_plugin_binance.protocol import BinanceDialect
from k2_plugin_binance.recordings import recorded, symbols_of, with_malformed
from k2_plugin_binance.settings import LocalBinanceSettings
from k2_plugin_binance.tape import Event, spelled
from k2core.plugin import Clock, Subscription, SystemClock
from k2core.testing import Placed, ServerLimits, TapeExchange

_TRADE, _QUOTE = {"s", "t", "p"}, {"s", "u", "b", "A"}
_COMBINED = re.compile(rb'\{"stream":"[^"]+","data":(.*)\}')


class LocalBinance(TapeExchange):
    """A local Binance; `TapeExchange` says what it does and which faults it plays.

    Args:
        settings: The tape, and how it is played.
        clock: Time of the events.
    """

    name = "binance"
    enforces = ServerLimits(
        streams_per_connection=1024, control_per_second=5, connects_per_window=300, ping_interval=20
    )

    def __init__(self, settings: LocalBinanceSettings, *, clock: Clock | None = None) -> None:
        tape, clock = _tape(settings), clock or SystemClock()
        self._settings = settings
        self._symbols = symbols_of(tape) if settings.recordings else list(settings.symbols)
        super().__init__(settings, BinanceDialect(self._symbols, clock), tape, clock=clock)

    def settings(self) -> dict[str, Any]:
        """`[connectors.binance]` settings that reach this exchange."""
        told = self._settings.model_dump(include={"combined", "time_unit"})
        return super().settings() | told | {"symbols": list(self._symbols)}

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

    def meaning(self, payload: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
        """The oracle, by the standard library alone: the one record of a payload; quotes have no time of their own."""
        one = json.loads(payload)
        if one.get("e") == "trade":
            side = {True: "sell", False: "buy"}[one["m"]]
            yield self.trade(one["s"], one["t"], one["p"], one["q"], side, one["T"] * 1000, sequence_num=one["t"])
        else:
            yield self.quote(one["s"], one["u"], (one["b"], one["B"]), (one["a"], one["A"]))

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
    return [spelled(event) for event in settings.tape()]
