"""A one-file plugin: an imaginary exchange, Coin, whose trades come over one WebSocket.

    k2 --plugin coin_exchange.py plugins

A client says `{"sub":["AAA"],"id":1}`, the exchange `{"ok":1}` or `{"no":1,"why":"…"}`, and then for each trade
`{"s":"AAA","n":7,"p":"1.50","q":"2","b":true,"t":1700000000000}`: symbol, number (each is the last + 1), price,
quantity, whether the buyer took, time in ms. `{"beat":1}` means that it is alive.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import msgspec
from pydantic import Field

from k2core.plugin import (
    ChannelFacts,
    Component,
    Connector,
    ConnectorFacts,
    Context,
    FrameKind,
    FrameParser,
    Normalizer,
    Reply,
    Request,
    Settings,
    Subscription,
    Trade,
    WebSocketFeed,
    hookimpl,
)

CONTROL = (b'{"ok"', b'{"no"', b'{"beat"')


class CoinSettings(Settings):
    """`[connectors.coin]`."""

    symbols: list[str] = Field(description="What to capture, as Coin spells it: AAA.")
    websocket_url: str = Field("wss://coin.example", description="Where Coin listens.")


class CoinFeed(WebSocketFeed):
    """What is said to Coin, and what its frames are for. No I/O: core connects, watches and reconnects."""

    def __init__(self, settings: CoinSettings) -> None:
        self._settings = settings

    def subscriptions(self) -> Sequence[Subscription]:
        """Trades of each symbol."""
        return [Subscription(symbol, "trades") for symbol in self._settings.symbols]

    def endpoint(self, subscriptions: Sequence[Subscription]) -> str:
        """One address for all."""
        return f"{self._settings.websocket_url}/stream"

    def subscribe(self, subscriptions: Sequence[Subscription], first_id: int) -> Sequence[Request]:
        """One message for all of them."""
        asked = {"sub": [one.symbol for one in subscriptions], "id": first_id}
        return [Request(json.dumps(asked).encode(), str(first_id))]

    def is_data(self, frame: bytes) -> bool:
        """Called for every frame: what is not clearly control goes to the normalizer, which refuses garbage."""
        return not frame.startswith(CONTROL)

    def classify(self, frame: bytes) -> Reply:
        """Read a control frame; may not raise."""
        try:
            said = msgspec.json.decode(frame, type=dict[str, int | str])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return Reply(FrameKind.OTHER)
        if "ok" in said:
            return Reply(FrameKind.ACK, str(said["ok"]))
        if "no" in said:
            return Reply(FrameKind.REFUSED, str(said["no"]), str(said.get("why", "")))
        return Reply(FrameKind.HEARTBEAT)


class CoinTrade(msgspec.Struct):
    """One trade as Coin sends it."""

    s: str
    n: int
    p: str
    q: str
    b: bool
    t: int


class CoinNormalizer(FrameParser):
    """Frames to trades, in the simple form: one frame at a time; core checks the values and builds the columns."""

    exchange = "coin"

    def parse(self, frame: bytes) -> Iterable[Trade]:
        """Read a frame; what msgspec raises on is refused, and costs its neighbours nothing."""
        if frame.startswith(CONTROL):
            return []
        trade = msgspec.json.decode(frame, type=CoinTrade)
        side = "buy" if trade.b else "sell"
        return [Trade(trade.s, trade.p, trade.q, side, trade.n, trade.t * 1000, sequence_num=trade.n)]


def make_feed(settings: CoinSettings, context: Context) -> WebSocketFeed:
    """The feed."""
    return CoinFeed(settings)


def make_normalizer(settings: Settings, context: Context) -> Normalizer:
    """The normalizer."""
    return CoinNormalizer()


FACTS = ConnectorFacts(
    exchange="coin",
    asset_class="crypto",
    channels={"trades": ChannelFacts(ids="contiguous", side="taker")},
)


@hookimpl
def k2_connectors() -> Iterable[Component[Connector | WebSocketFeed]]:
    """Coin's feed; its normalizer has the same name, so nothing more needs to be said."""
    return [
        Component(
            name="coin", summary="Coin: every trade", settings=CoinSettings, factory=make_feed, capabilities=FACTS
        )
    ]


@hookimpl
def k2_normalizers() -> Iterable[Component[Normalizer]]:
    """Coin's frames to records."""
    return [Component(name="coin", summary="Coin's trade frames", settings=Settings, factory=make_normalizer)]
