"""The feed: requests, limits, what a frame is for, trades that were dropped, and which products exist."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from k2_plugin_coinbase.feed import CoinbaseFeed
from k2_plugin_coinbase.settings import CoinbaseSettings
from pydantic import ValidationError

from k2core.plugin import ConnectorError, FrameKind, RestClient, RestResponse, Subscription
from k2core.testing import ManualClock, context

BTC_TRADES, BTC_QUOTES = Subscription("BTC-USD", "trades"), Subscription("BTC-USD", "quotes")
ETH_TRADES, ETH_QUOTES = Subscription("ETH-USD", "trades"), Subscription("ETH-USD", "quotes")


def feed(clock: ManualClock | None = None, **settings: Any) -> CoinbaseFeed:
    wanted = CoinbaseSettings.model_validate({"symbols": ["BTC-USD", "eth-usd"], **settings})
    return CoinbaseFeed(wanted, context(clock or ManualClock()))


def match(number: int, product: str = "BTC-USD", kind: str = "match") -> bytes:
    return b'{"type":"%b","trade_id":%d,"side":"sell","product_id":"%b"}' % (kind.encode(), number, product.encode())


def heartbeat(number: int, product: str = "BTC-USD") -> bytes:
    return b'{"type":"heartbeat","last_trade_id":%d,"product_id":"%b","sequence":9}' % (number, product.encode())


def test_the_defaults_are_live_coinbase() -> None:
    assert feed().endpoint([]) == "wss://ws-feed.exchange.coinbase.com"


def test_one_message_asks_for_everything_and_heartbeats_besides() -> None:
    assert feed().subscriptions() == [BTC_TRADES, BTC_QUOTES, ETH_TRADES, ETH_QUOTES]
    (request,) = feed().subscribe([BTC_TRADES, BTC_QUOTES, ETH_TRADES], 7)
    assert request.request_id == "7"
    assert json.loads(request.payload) == {
        "type": "subscribe",
        "channels": [
            {"name": "matches", "product_ids": ["BTC-USD", "ETH-USD"]},
            {"name": "ticker", "product_ids": ["BTC-USD"]},
            {"name": "heartbeat", "product_ids": ["BTC-USD", "ETH-USD"]},
        ],
    }


def test_limits_stay_within_what_coinbase_allows() -> None:
    limits = feed().limits
    assert (limits.connects_per_window, limits.connect_window) == (8, 1)
    assert limits.control_per_second <= 100
    assert limits.frame_timeout == 10  # ten heartbeats
    assert limits.data_timeout is None


@pytest.mark.parametrize("data_types", [["trades"], ["quotes", "trades"]])
def test_a_products_heartbeats_and_trades_share_a_connection(data_types: list[str]) -> None:
    """Or a heartbeat that misses a trade would replace a connection that does not carry it."""
    one = feed(data_types=data_types, streams_per_connection=1)
    first = one.subscriptions()[: one.limits.streams_per_connection]
    assert {s.symbol for s in first} == {"BTC-USD"}
    assert len(first) == len(data_types)


def test_an_acknowledgement_lists_all_so_far_by_channel_and_product() -> None:
    frame = (
        b'{"type":"subscriptions","channels":[{"name":"heartbeat","product_ids":["BTC-USD"],"account_ids":null},'
        b'{"name":"level2_50","product_ids":["BTC-USD"]},{"name":"matches","product_ids":["BTC-USD","ETH-USD"]},'
        b'{"name":"ticker","product_ids":["BTC-USD"]}]}'
    )
    reply = feed().classify(frame)
    assert (reply.kind, reply.request_id) == (FrameKind.ACK, None)
    assert reply.subscriptions == [BTC_TRADES, ETH_TRADES, BTC_QUOTES]


@pytest.mark.parametrize(
    ("reason", "meant"),
    [
        ("ETH-USD is not a valid product", [ETH_TRADES, ETH_QUOTES]),
        ("ETH-USD is delisted", [ETH_TRADES, ETH_QUOTES]),
        ("GIBBERISH-USD is not a valid product", []),
        ("level2, level3, and full channels now require authentication.", []),
        ("", []),
    ],
)
def test_an_error_refuses_the_product_that_it_names(reason: str, meant: list[Subscription]) -> None:
    frame = json.dumps({"type": "error", "message": "Failed to subscribe", "reason": reason}).encode()
    reply = feed().classify(frame)
    assert (reply.kind, reply.message) == (FrameKind.REFUSED, f"Failed to subscribe: {reason}")
    assert list(reply.subscriptions) == meant


@pytest.mark.parametrize(
    ("frame", "data"),
    [
        (match(1), True),
        (match(1, kind="last_match"), True),
        (b'{"type":"ticker","sequence":1}', True),
        (b'{ "trade_id": 7, "type": "match" }', True),
        (b'{"type":"match","trade_id":"7"}', True),
        (b"garbage", True),
        (b"", True),
        (b'{"type":"subscriptions","channels":[]}', False),
        (b'{"type":"error","message":"x"}', False),
        (b'{"type":"l2update"}', False),
        (heartbeat(1), False),
    ],
)
def test_market_data_and_what_cannot_be_read_go_to_the_normalizer(frame: bytes, data: bool) -> None:
    assert feed().is_data(frame) is data


def test_a_new_type_is_nobodys_business() -> None:
    assert feed().classify(b'{"type":"fresh","channels":[]}').kind is FrameKind.OTHER


@given(st.binary(max_size=200))
def test_no_bytes_disturb_the_feed(frame: bytes) -> None:
    one = feed()
    for wire in (frame, b'{"type":"' + frame, b'{"type":"heartbeat","last_trade_id":' + frame):
        assert one.is_data(wire) in (True, False)
        assert one.classify(wire).kind in FrameKind


class Beats:
    """A feed in a second's rhythm: each beat moves the clock and tells how a heartbeat was taken."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.feed = feed(self.clock, **settings)

    def trade(self, number: int, kind: str = "match") -> None:
        self.feed.is_data(match(number, kind=kind))

    def beat(self, number: int, product: str = "BTC-USD", after: float = 1) -> bool:
        self.clock.advance(after)
        return self.feed.classify(heartbeat(number, product)).kind is FrameKind.CLOSING


def test_a_trade_that_was_announced_and_never_comes_was_dropped_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = Beats()
    one.trade(10, "last_match")
    assert [one.beat(10), one.beat(11), one.beat(11), one.beat(11), one.beat(11)] == [False, False, False, True, False]
    assert "BTC-USD: trade 11 did not come" in caplog.text
    one.trade(12)
    assert [one.beat(12), one.beat(13), one.beat(13), one.beat(14)] == [False, False, False, True]


def test_a_single_wild_heartbeat_is_voided_by_the_next_one() -> None:
    one = Beats()
    one.trade(10)
    wild = [one.beat(10), one.beat(10**15), *(one.beat(10) for _ in range(5))]
    assert not any(wild)
    assert [one.beat(11), one.beat(11), one.beat(11)] == [False, False, True]  # what is dropped is found as before


def test_wild_heartbeats_without_end_cost_one_connection_and_blind_nothing_for_good() -> None:
    one = Beats()
    one.trade(10)
    assert sum(one.beat(10**15 + number) for number in range(60)) == 1
    one.beat(10)
    assert [one.beat(11), one.beat(11), one.beat(11)] == [False, False, True]


def test_a_heartbeat_may_run_ahead_of_its_trade() -> None:
    one = Beats()
    one.trade(10, "last_match")
    for number in range(11, 30):
        assert not one.beat(number)
        one.trade(number)


def test_heartbeats_of_two_connections_do_not_hurry_each_other() -> None:
    one = Beats()
    one.trade(10)
    assert [one.beat(11, after=0.01) for _ in range(50)] == [False] * 50


@pytest.mark.parametrize("number", [0, 5, 11])
def test_nothing_is_missed_where_nothing_is_known(number: int) -> None:
    one = Beats()
    assert not any(one.beat(number) for _ in range(9))  # not one trade was seen yet
    one.trade(11)
    assert not any(one.beat(number) for _ in range(9))  # 0: Coinbase does not say; 5: it lags
    assert not any(one.beat(99, "XRP-USD") for _ in range(9))


class Answers(RestClient):
    """Answers every question alike."""

    def __init__(self, status: int, body: bytes) -> None:
        self._answer, self.asked = RestResponse(status, {}, body), list[str]()

    async def get(self, url: str, params: Mapping[str, str] | None = None) -> RestResponse:
        self.asked.append(url)
        return self._answer


async def test_check_finds_unknown_and_delisted_products() -> None:
    listed = b'[{"id":"BTC-USD","status":"online","x":1},{"id":"ETH-USD","status":"delisted"},{"id":"OLD-USD"}]'
    answers = Answers(200, listed)
    found = await feed(symbols=["BTC-USD", "ETH-USD", "NOPE-USD"], data_types=["trades"]).check(answers)
    assert [one.symbol for one in found] == ["ETH-USD", "NOPE-USD"]
    assert answers.asked == ["https://api.exchange.coinbase.com/products"]


async def test_check_can_be_switched_off() -> None:
    answers = Answers(500, b"")
    assert list(await feed(check_symbols=False).check(answers)) == []
    assert answers.asked == []


@pytest.mark.parametrize(
    ("status", "body"), [(503, b"[]"), (200, b"[]"), (200, b"<html>"), (404, b'{"message":"NotFound"}')]
)
async def test_check_says_when_it_got_no_answer(status: int, body: bytes) -> None:
    with pytest.raises(ConnectorError, match=f"products answered {status}"):
        await feed().check(Answers(status, body))


@pytest.mark.parametrize(
    "bad",
    [
        {"symbols": []},
        {"symbols": ["BTCUSD"]},
        {"symbols": ["BTC/USD"]},
        {"symbols": ["BTC-USD "]},
        {"data_types": []},
        {"data_types": ["level2"]},
        {"websocket_url": "http://x"},
        {"rest_url": "wss://x"},
        {"rest_url": "https://x?y"},
        {"control_per_second": 101},
        {"connects_per_window": 9},
        {"symbls": ["BTC-USD"]},
    ],
)
def test_wrong_settings_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        feed(**bad)


def test_symbols_are_kept_once_in_upper_case() -> None:
    assert CoinbaseSettings(symbols=["eth-usd", "BTC-USD", "ETH-USD"]).symbols == ["ETH-USD", "BTC-USD"]
