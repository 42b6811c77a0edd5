"""The feed: requests, what a frame is for, limits, settings, and which symbols exist."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from k2_plugin_kraken.feed import KrakenFeed
from k2_plugin_kraken.local import KrakenDialect
from k2_plugin_kraken.settings import KrakenSettings
from pydantic import ValidationError

from k2core.plugin import ConnectorError, FrameKind, RestClient, RestResponse, Subscription
from k2core.testing import context

BTC_TRADES, BTC_QUOTES = Subscription("BTC/USD", "trades"), Subscription("BTC/USD", "quotes")


class Answers(RestClient):
    """Asks a dialect directly and remembers what was asked."""

    def __init__(self, *symbols: str, fixed: RestResponse | None = None) -> None:
        self.asked: list[dict[str, str]] = []
        self._dialect, self._fixed = KrakenDialect(list(symbols)), fixed

    async def get(self, url: str, params: Mapping[str, str] | None = None) -> RestResponse:
        self.asked.append(dict(params or {}))
        return self._fixed or RestResponse(*self._dialect.rest(urlsplit(url).path, dict(params or {})))


def feed(**settings: object) -> KrakenFeed:
    wanted = {"symbols": ["BTC/USD", "ETH/USD", "AAPLx/USD"], **settings}
    return KrakenFeed(KrakenSettings.model_validate(wanted), context())


def test_the_defaults_are_live_kraken() -> None:
    assert feed().endpoint([]) == "wss://ws.kraken.com/v2"


def test_a_request_asks_for_one_channel_and_says_which_subscriptions_it_means() -> None:
    few = feed(subscriptions_per_request=2)
    requests = few.subscribe(few.subscriptions(), 7)
    assert [json.loads(request.payload) for request in requests[:3]] == [
        {"method": "subscribe", "params": {"channel": "trade", "snapshot": True, "symbol": ["BTC/USD", "ETH/USD"]}, "req_id": 7},
        {"method": "subscribe", "params": {"channel": "trade", "snapshot": True, "symbol": ["AAPLx/USD"]}, "req_id": 8},
        {
            "method": "subscribe",
            "params": {"channel": "ticker", "event_trigger": "bbo", "snapshot": True, "symbol": ["BTC/USD", "ETH/USD"]},
            "req_id": 9,
        },
    ]  # fmt: skip
    assert [request.request_id for request in requests] == ["7", "8", "9", "10"]
    assert {one for request in requests for one in request.subscriptions} == set(few.subscriptions())
    assert requests[1].subscriptions == (Subscription("AAPLx/USD", "trades"),)


def test_trades_are_always_asked_for_with_their_snapshot() -> None:
    (request,) = feed(data_types=["trades"], symbols=["BTC/USD"]).subscribe([BTC_TRADES], 1)
    assert json.loads(request.payload)["params"]["snapshot"] is True


def test_limits_stay_within_what_kraken_allows() -> None:
    limits = feed().limits
    assert (limits.connects_per_window, limits.connect_window) == (120, 600)
    assert 2 < limits.frame_timeout <= 10
    assert limits.data_timeout is None
    assert limits.max_age is None


TRADE_ACK = (
    b'{"method":"subscribe","req_id":3,"result":{"channel":"trade","snapshot":true,"symbol":"BTC/USD"},"success":true}'
)
CONTROL = [
    (TRADE_ACK, FrameKind.ACK, "3", "", (BTC_TRADES,)),
    (TRADE_ACK.replace(b":", b" : "), FrameKind.ACK, "3", "", (BTC_TRADES,)),
    (TRADE_ACK.replace(b'"trade"', b'"ticker"'), FrameKind.ACK, "3", "", (BTC_QUOTES,)),
    (b'{"method":"subscribe","req_id":3,"success":true}', FrameKind.ACK, "3", "", ()),
    (
        b'{"error":"Currency pair not supported BTC/USD","method":"subscribe","req_id":4,"success":false,"symbol":"BTC/USD"}',
        FrameKind.REFUSED, "4", "Currency pair not supported BTC/USD", (BTC_TRADES, BTC_QUOTES),
    ),
    (b'{"error":"no","method":"subscribe","success":false}', FrameKind.REFUSED, None, "no", ()),
    (
        b'{"error":"Already subscribed","method":"subscribe","req_id":5,"success":false,"symbol":"BTC/USD"}',
        FrameKind.ACK, "5", "Already subscribed", (BTC_TRADES, BTC_QUOTES),
    ),
    (b'{"channel":"heartbeat"}', FrameKind.HEARTBEAT, None, "", ()),
    (b'{"method":"pong","req_id":101}', FrameKind.HEARTBEAT, None, "", ()),
    (b'{"channel":"status","type":"update","data":[{"system":"online"}]}', FrameKind.OTHER, None, "", ()),
    (b'{ "channel" : "trade" , "data" : [] }', FrameKind.OTHER, None, "", ()),
    (b'{"method":"subscribe","success":"yes"}', FrameKind.OTHER, None, "", ()),
    (b"garbage", FrameKind.OTHER, None, "", ()),
]  # fmt: skip


@pytest.mark.parametrize(("frame", "kind", "request_id", "message", "about"), CONTROL)
def test_classify(
    frame: bytes, kind: FrameKind, request_id: str | None, message: str, about: tuple[Subscription, ...]
) -> None:
    assert not feed().is_data(frame)
    reply = feed().classify(frame)
    assert (reply.kind, reply.request_id, reply.message, reply.subscriptions) == (kind, request_id, message, about)


def test_data_is_known_by_its_first_bytes() -> None:
    assert feed().is_data(b'{"channel":"trade","type":"update","data":[]}')
    assert feed().is_data(b'{"channel":"ticker","type":"snapshot","data":[]}')


@given(st.binary(max_size=200))
def test_no_bytes_disturb_the_feed(frame: bytes) -> None:
    for wire in (frame, b'{"method":"subscribe","result":' + frame, b'{"channel":"' + frame):
        assert feed().is_data(wire) in (True, False)
        assert feed().classify(wire).kind in FrameKind


async def test_check_finds_the_unknown_ones() -> None:
    answers = Answers("BTC/USD", "ETH/USD")
    unknown = await feed(symbols=["BTC/USD", "NOPE/USD", "ETH/USD"]).check(answers)
    assert sorted(unknown) == [Subscription("NOPE/USD", "quotes"), Subscription("NOPE/USD", "trades")]
    assert [asked["aclass_base"] for asked in answers.asked] == ["currency", "tokenized_asset"]
    assert {asked["assetVersion"] for asked in answers.asked} == {"1"}


async def test_check_asks_no_more_than_it_must_and_can_be_switched_off() -> None:
    once, never = Answers("BTC/USD", "ETH/USD", "AAPLx/USD"), Answers()
    assert list(await feed().check(once)) == []
    assert list(await feed(check_symbols=False).check(never)) == []
    assert (len(once.asked), len(never.asked)) == (1, 0)


@pytest.mark.parametrize(
    ("status", "body"),
    [(503, b"busy"), (200, b"<html>"), (200, b'{"error":["EGeneral:Too many requests"]}'), (200, b"[]")],
)
async def test_check_says_when_it_got_no_answer(status: int, body: bytes) -> None:
    with pytest.raises(ConnectorError, match="AssetPairs"):
        await feed().check(Answers(fixed=RestResponse(status, {}, body)))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"symbols": []}, "at least 1"),
        ({"symbols": ["BTCUSD"]}, "like BTC/USD"),
        ({"symbols": ["BTC/USD/X"]}, "like BTC/USD"),
        ({"symbols": ["BTC /USD"]}, "like BTC/USD"),
        ({"symbols": ["../etc/USD"]}, "like BTC/USD"),
        ({"symbols": ["XBT/USD"]}, "says BTC, not XBT"),
        ({"data_types": ["book"]}, "data_types"),
        ({"websocket_url": "http://x"}, "websocket_url"),
        ({"connects_per_window": 151}, "connects_per_window"),
        ({"symbls": ["BTC/USD"]}, "symbls"),
    ],
)
def test_wrong_settings_are_refused(bad: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        feed(**bad)


def test_symbols_are_kept_once_as_they_are_written() -> None:
    assert KrakenSettings(symbols=["ETH/USD", "AAPLx/USD", "ETH/USD"]).symbols == ["ETH/USD", "AAPLx/USD"]
