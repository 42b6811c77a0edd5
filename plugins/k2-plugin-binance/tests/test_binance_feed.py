"""The feed: addresses, requests, limits, what a frame is for, and which symbols exist."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest
from k2_plugin_binance.feed import BinanceFeed
from k2_plugin_binance.protocol import BinanceDialect
from k2_plugin_binance.settings import BinanceSettings
from pydantic import ValidationError

from k2core.plugin import ConnectorError, FrameKind, RestClient, RestResponse, Subscription, SystemClock
from k2core.testing import context


class Answers(RestClient):
    """Asks a dialect directly and remembers what was asked."""

    def __init__(self, *symbols: str, fixed: RestResponse | None = None) -> None:
        self.asked: list[list[str]] = []
        self._dialect, self._fixed = BinanceDialect(symbols, SystemClock()), fixed

    async def get(self, url: str, params: Mapping[str, str] | None = None) -> RestResponse:
        self.asked.append(json.loads((params or {})["symbols"]))
        return self._fixed or RestResponse(*self._dialect.rest(urlsplit(url).path, dict(params or {})))


def feed(**settings: object) -> BinanceFeed:
    return BinanceFeed(BinanceSettings.model_validate({"symbols": ["BTCUSDT", "ethusdt"], **settings}), context())


def test_the_defaults_are_live_binance() -> None:
    assert feed().endpoint([]) == "wss://stream.binance.com:9443/stream"
    assert feed(combined=False).endpoint([]) == "wss://stream.binance.com:9443/ws"


@pytest.mark.parametrize(("combined", "path"), [(True, "stream"), (False, "ws")])
def test_endpoint_with_microseconds(combined: bool, path: str) -> None:
    url = feed(combined=combined, time_unit="microsecond", websocket_url="ws://127.0.0.1:1/").endpoint([])
    assert url == f"ws://127.0.0.1:1/{path}?timeUnit=MICROSECOND"


def test_subscriptions_are_symbols_times_data_types() -> None:
    assert feed().subscriptions() == [
        Subscription("BTCUSDT", "trades"),
        Subscription("BTCUSDT", "quotes"),
        Subscription("ETHUSDT", "trades"),
        Subscription("ETHUSDT", "quotes"),
    ]
    assert feed(data_types=["quotes"]).subscriptions()[0] == Subscription("BTCUSDT", "quotes")


def test_subscribe_names_streams_in_lower_case_and_counts_ids() -> None:
    few = feed(subscriptions_per_request=3)
    requests = few.subscribe(few.subscriptions(), 7)
    assert [request.request_id for request in requests] == ["7", "8"]
    assert json.loads(requests[0].payload) == {
        "method": "SUBSCRIBE",
        "params": ["btcusdt@trade", "btcusdt@bookTicker", "ethusdt@trade"],
        "id": 7,
    }
    assert json.loads(requests[1].payload)["params"] == ["ethusdt@bookTicker"]


def test_limits_stay_within_what_binance_allows() -> None:
    limits = feed().limits
    assert limits.streams_per_connection == 1024
    assert limits.control_per_second <= 5
    assert (limits.connects_per_window, limits.connect_window) == (300, 300)
    assert limits.frame_timeout == 60  # three of the server's pings
    assert limits.max_frame_bytes == 1 << 20
    assert limits.max_age == 23 * 3600
    assert limits.data_timeout is None


def test_a_full_connection_is_subscribed_within_two_seconds() -> None:
    many = feed(symbols=[f"S{n}USDT" for n in range(512)])
    requests = many.subscribe(many.subscriptions(), 1)
    assert sum(len(json.loads(request.payload)["params"]) for request in requests) == 1024
    assert len(requests) / many.limits.control_per_second < 2


CONTROL = [
    (b'{"result":null,"id":3}', FrameKind.ACK, "3", ""),
    (b'{"id":"a1","result":null}', FrameKind.ACK, "a1", ""),
    (b'{ "result": null, "id": 3 }', FrameKind.ACK, "3", ""),
    (b'{"result":["btcusdt@trade"],"id":3}', FrameKind.OTHER, "3", ""),
    (b'{"code":2,"msg":"Invalid request: x","id":4}', FrameKind.REFUSED, "4", "Invalid request: x (code 2)"),
    (b'{"error":{"code":3,"msg":"Invalid JSON"},"id":4}', FrameKind.REFUSED, "4", "Invalid JSON (code 3)"),
    (b'{"code":3,"msg":"Invalid JSON"}', FrameKind.REFUSED, None, "Invalid JSON (code 3)"),
    (b'{"e":"serverShutdown","E":1753180000000}', FrameKind.CLOSING, None, ""),
    (b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}', FrameKind.CLOSING, None, ""),
]


@pytest.mark.parametrize(("frame", "kind", "request_id", "message"), CONTROL)
def test_classify(frame: bytes, kind: FrameKind, request_id: str | None, message: str) -> None:
    assert not feed().is_data(frame)
    reply = feed().classify(frame)
    assert (reply.kind, reply.request_id, reply.message) == (kind, request_id, message)


@pytest.mark.parametrize(
    "frame",
    [
        b'{"stream":"btcusdt@trade","data":{}}',
        b'{"stream":"btcusdt@depth","data":{}}',
        b'{"e":"trade","E":1}',
        b'{"u":1,"s":"BTCUSDT"}',
        b'{"e":"depthUpdate"}',
        b"garbage",
        b"",
    ],
)
def test_everything_else_goes_to_the_normalizer(frame: bytes) -> None:
    assert feed().is_data(frame)


async def test_check_finds_the_unknown_ones_among_many() -> None:
    known = [f"S{n}USDT" for n in range(40)]
    answers = Answers(*known)
    unknown = await feed(symbols=[*known[:17], "NOPE", *known[17:], "NADA"], symbols_per_check=20).check(answers)
    assert {one.symbol for one in unknown} == {"NOPE", "NADA"}
    assert len(unknown) == 4
    assert len(answers.asked) <= 16
    assert max(map(len, answers.asked)) == 20


async def test_check_passes_when_all_exist_and_can_be_switched_off() -> None:
    assert list(await feed().check(Answers("BTCUSDT", "ETHUSDT"))) == []
    silent = Answers()
    assert list(await feed(check_symbols=False).check(silent)) == []
    assert silent.asked == []


@pytest.mark.parametrize(
    ("status", "body"), [(503, b"busy"), (200, b"<html>"), (400, b"<html>"), (400, b'{"code":-1003}')]
)
async def test_check_says_when_it_got_no_answer(status: int, body: bytes) -> None:
    with pytest.raises(ConnectorError, match="exchangeInfo"):
        await feed().check(Answers(fixed=RestResponse(status, {}, body)))


@pytest.mark.parametrize(
    "bad",
    [
        {"symbols": []},
        {"symbols": ["BTC USDT"]},
        {"symbols": ["btcusdt@trade"]},
        {"symbols": ["X" * 65]},
        {"data_types": []},
        {"data_types": ["depth"]},
        {"websocket_url": "http://x"},
        {"rest_url": "wss://x"},
        {"time_unit": "second"},
        {"control_per_second": 6},
        {"streams_per_connection": 1025},
        {"symbls": ["BTCUSDT"]},
    ],
)
def test_wrong_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        feed(**bad)


def test_symbols_are_kept_once_in_upper_case() -> None:
    assert BinanceSettings(symbols=["ethusdt", "BTCUSDT", "ETHUSDT"]).symbols == ["ETHUSDT", "BTCUSDT"]
