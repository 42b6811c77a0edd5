"""Pit's feed and its side of the protocol: `{"sub":["AAA:trades"],"id":1}` is answered by `ok` or `no`, `bye` is a farewell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from k2core.plugin import (
    Component,
    ConnectionLimits,
    Connector,
    ConnectorError,
    Context,
    FrameKind,
    Reply,
    Request,
    RestClient,
    Settings,
    Subscription,
    WebSocketFeed,
)
from k2core.testing import ConnectorSuite, Dialect, FakeExchange, ServerLimits
from tests.contract.pit_frames import CONTROL, LATER_TOP, ONE, TOP, TWO, item, top, trades
from tests.contract.pit_normalizer import COMPONENT, FACTS

LIGHT = COMPONENT.factory.__module__
"""Where a plugin's factories would stand: this module imports what tests need."""

CHANNELS = {"trades": "trades", "quotes": "top"}
KINDS = {"ok": FrameKind.ACK, "no": FrameKind.REFUSED, "beat": FrameKind.HEARTBEAT, "bye": FrameKind.CLOSING}


class PitSettings(Settings):
    symbols: tuple[str, ...] = ("AAA", "BBB")
    websocket_url: str
    rest_url: str
    frame_timeout_s: float = 30
    ack_timeout_s: float = 10
    backoff_s: float = 1


class PitFeed(WebSocketFeed):
    limits = ConnectionLimits(control_per_second=20, max_age=80_000)

    def __init__(self, settings: PitSettings) -> None:
        self.settings = settings

    def subscriptions(self) -> Sequence[Subscription]:
        return [Subscription(symbol, kind) for symbol in self.settings.symbols for kind in CHANNELS]

    def endpoint(self, subscriptions: Sequence[Subscription]) -> str:
        return f"{self.settings.websocket_url}/pit"

    def subscribe(self, subscriptions: Sequence[Subscription], first_id: int) -> Sequence[Request]:
        asked = {"sub": [f"{one.symbol}:{CHANNELS[one.data_type]}" for one in subscriptions], "id": first_id}
        return [Request(json.dumps(asked).encode(), str(first_id))]

    def is_data(self, frame: bytes) -> bool:
        return not frame.startswith((b'{"ch":"ok"', b'{"ch":"no"', b'{"ch":"beat"', b'{"ch":"bye"'))

    def classify(self, frame: bytes) -> Reply:
        try:
            said = json.loads(frame)
        except (ValueError, RecursionError):
            return Reply(FrameKind.OTHER)
        if not isinstance(said, dict) or not isinstance(said.get("ch"), str):
            return Reply(FrameKind.OTHER)
        return self.reply(said)

    def reply(self, said: dict[str, Any]) -> Reply:
        return Reply(KINDS.get(said["ch"], FrameKind.OTHER), str(said.get("id")), str(said.get("why", "")))

    async def check(self, rest: RestClient) -> Sequence[Subscription]:
        answer = await rest.get(f"{self.settings.rest_url}/symbols")
        try:
            known = json.loads(answer.body)["symbols"]
        except (ValueError, TypeError, LookupError) as error:
            raise ConnectorError(f"no list of symbols: {error}") from error
        return [one for one in self.subscriptions() if one.symbol not in known]


class PitDialect(Dialect):
    farewell = b'{"ch":"bye"}'

    def on_connect(self, path: str) -> set[str]:
        return set()

    def on_message(self, message: bytes, current: set[str]) -> tuple[list[bytes], set[str]]:
        asked = json.loads(message)
        return [b'{"ch":"ok","id":%d}' % asked["id"]], current | set(asked["sub"])

    def rest(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        return (200, {}, b'{"symbols":["AAA","BBB"]}') if path == "/symbols" else (404, {}, b"")

    def shutdown_frame(self, path: str) -> bytes:
        return self.farewell

    def refuse(self, message: bytes, streams: set[str]) -> list[bytes]:
        return [b'{"ch":"no","id":%d,"why":"no such stream"}' % json.loads(message)["id"]]


def make(settings: PitSettings, context: Context) -> WebSocketFeed:
    return PitFeed(settings)


make.__module__ = LIGHT


class PitFeedSuite(ConnectorSuite):
    """The standard tests on Pit's feed."""

    component: Component[Connector | WebSocketFeed] = Component(
        name="pit", summary="Pit", settings=PitSettings, factory=make, capabilities=FACTS
    )
    normalizer = COMPONENT
    streams: ClassVar = {
        "AAA:trades": (ONE, TWO),
        "AAA:top": (TOP, LATER_TOP),
        "BBB:trades": (
            trades(item(1, "2", "3", "buy", 1_723_161_255_342, "BBB")),
            trades(item(2, "2", "3", "buy", 1_723_161_255_342, "BBB")),
        ),
        "BBB:top": (top(8, "3", "4", "BBB"), top(9, "3", "5", "BBB")),
    }
    control = CONTROL
    server_limits = ServerLimits(control_per_second=25, max_age=86_400)
    timeout_s = 3.0

    def dialect(self) -> Dialect:
        return PitDialect()

    def settings(self, exchange: FakeExchange) -> Mapping[str, Any]:
        return {"websocket_url": exchange.url, "rest_url": exchange.rest_url}


def suite_of(made: type, base: type[ConnectorSuite] = PitFeedSuite, **declared: Any) -> type[ConnectorSuite]:
    """The suite on another feed or connector."""

    def factory(settings: PitSettings, context: Context) -> Any:
        return made(settings)

    factory.__module__ = LIGHT
    component: Component[Any] = Component(
        name="pit", summary="Pit", settings=PitSettings, factory=factory, capabilities=FACTS
    )
    return type(f"Suite{made.__name__}", (base,), {"component": component, **declared})
