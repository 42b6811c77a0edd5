"""What exchanges share: spelling of symbols, settings and limits, requests in parts, answers, hooks."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest
from pydantic import Field, ValidationError

from k2core.plugin import (
    ConnectorError,
    ConnectorFacts,
    ExchangeFeed,
    ExchangeSettings,
    FrameKind,
    Reply,
    RestClient,
    RestResponse,
    Settings,
    Spelling,
    Subscription,
    exchange_hooks,
)
from k2core.testing import context

COIN = Spelling(r"[A-Z]{3}/[A-Z]{3}", "BTC/USD", upper=True, renamed={"XBT": "BTC"})


class CoinSettings(ExchangeSettings):
    spelling = COIN

    websocket_url: str = Field("wss://coin.example", description="Where to connect.")


class CoinFeed(ExchangeFeed[CoinSettings]):
    channels = {"trades": "deals", "quotes": "tops"}  # noqa: RUF012 - never changed
    data = (b'{"ch":"deals"', b'{"ch":"tops"')

    def message(self, subscriptions: Sequence[Subscription], number: int) -> Any:
        return {"sub": [f"{self.channels[one.data_type]}:{one.symbol}" for one in subscriptions], "id": number}

    def reply(self, frame: bytes) -> Reply:
        said = json.loads(frame)
        return Reply(FrameKind.ACK, subscriptions=self.about(said["s"], said.get("c", "")))

    async def known(self, rest: RestClient, symbols: Sequence[str]) -> Collection[str]:
        return (await rest.get("https://coin.example/symbols")).read("symbols", json.loads)


class Apart(CoinFeed):
    apart = True


class Answers(RestClient):
    def __init__(self, status: int, body: bytes) -> None:
        self.answer, self.asked = RestResponse(status, {}, body), 0

    async def get(self, url: str, params: Mapping[str, str] | None = None) -> RestResponse:
        self.asked += 1
        return self.answer


def settings(**changes: Any) -> CoinSettings:
    return CoinSettings.model_validate({"symbols": ["BTC/USD", "eth/usd", "BTC/USD"], **changes})


def feed(kind: type[CoinFeed] = CoinFeed, **changes: Any) -> CoinFeed:
    return kind(settings(**changes), context())


def test_symbols_are_kept_once_as_the_exchange_writes_them() -> None:
    assert settings().symbols == ["BTC/USD", "ETH/USD"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (
            {"symbols": ["BTCUSD"]},
            "'BTCUSD' is no symbol of this exchange: write it as the exchange does, like BTC/USD",
        ),
        ({"symbols": ["BTC/USD\n"]}, "is no symbol"),
        ({"symbols": ["xbt/usd"]}, "'XBT/USD' is an old spelling: the exchange says BTC, not XBT"),
        ({"symbols": []}, "symbols"),
        ({"data_types": []}, "data_types"),
        ({"data_types": ["book"]}, "data_types"),
        ({"websocket_url": "https://x"}, "'https://x' is no such address: write it as wss://"),
        ({"websocket_url": "wss://x?y"}, "is no such address"),
        ({"rest_url": "wss://x"}, "'wss://x' is no such address: write it as https://"),
        ({"frame_timeout_s": 0}, "frame_timeout_s"),
    ],
)
def test_a_wrong_setting_is_refused_also_where_a_subclass_wrote_the_field_anew(bad: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as told:
        settings(**bad)
    assert said in str(told.value)
    assert next(iter(bad)) in str(told.value), "the setting is named"


def test_addresses_lose_their_last_slash_and_data_types_their_doubles() -> None:
    made = settings(websocket_url="wss://x/", rest_url="https://y/", data_types=["quotes", "quotes"])
    assert (made.websocket_url, made.rest_url, made.data_types) == ("wss://x", "https://y", ["quotes"])


@pytest.mark.parametrize(("asked", "kept"), [(1, 2), (2, 2), (5, 4), (6, 6)])
def test_all_data_types_of_a_symbol_share_a_connection(asked: int, kept: int) -> None:
    assert feed(streams_per_connection=asked).limits.streams_per_connection == kept


def test_a_message_names_no_more_than_it_may_and_one_data_type_where_that_is_asked() -> None:
    several = feed(subscriptions_per_request=3)
    requests = several.subscribe(several.subscriptions(), 7)
    assert [json.loads(request.payload) for request in requests] == [
        {"sub": ["deals:BTC/USD", "tops:BTC/USD", "deals:ETH/USD"], "id": 7},
        {"sub": ["tops:ETH/USD"], "id": 8},
    ]
    assert [request.request_id for request in requests] == ["7", "8"]
    assert [one for request in requests for one in request.subscriptions] == list(several.subscriptions())
    apart = feed(Apart)
    assert [json.loads(request.payload)["sub"] for request in apart.subscribe(apart.subscriptions(), 1)] == [
        ["deals:BTC/USD", "deals:ETH/USD"],
        ["tops:BTC/USD", "tops:ETH/USD"],
    ]


@pytest.mark.parametrize(
    ("frame", "about"),
    [
        (b'{"s":"BTC/USD","c":"tops"}', ["quotes"]),
        (b'{"s":"BTC/USD"}', ["trades", "quotes"]),
        (b'{"s":"BTC/USD","c":"book"}', ["book"]),
        (b'{"s":""}', []),
    ],
)
def test_an_answer_is_about_what_it_names(frame: bytes, about: list[str]) -> None:
    assert feed().classify(frame).subscriptions == tuple(Subscription("BTC/USD", kind) for kind in about)


@pytest.mark.parametrize("frame", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_cannot_be_read_is_other(frame: bytes) -> None:
    assert feed().classify(frame).kind is FrameKind.OTHER
    assert not feed().is_data(frame)


async def test_a_check_leaves_out_what_is_not_known_and_can_be_switched_off() -> None:
    answers = Answers(200, b'["BTC/USD"]')
    assert {one.symbol for one in await feed().check(answers)} == {"ETH/USD"}
    assert list(await feed(check_symbols=False).check(answers)) == []
    assert answers.asked == 1


@pytest.mark.parametrize(("status", "body"), [(503, b"[]"), (200, b"<html>")])
async def test_an_answer_that_is_none_says_what_came(status: int, body: bytes) -> None:
    with pytest.raises(ConnectorError, match=re.escape(f"symbols answered {status}: {body!r}")):
        await feed().check(Answers(status, body))


def test_hooks_name_the_plugin_and_import_its_parts_when_they_are_made() -> None:
    facts = ConnectorFacts(exchange="coin", asset_class="crypto")
    hooks = exchange_hooks(
        "no_such_package", facts, title="Coin", settings=CoinSettings, feed="feed:CoinFeed",
        normalizer="normalizer:CoinNormalizer", local_settings=Settings, local="local:LocalCoin",
    )  # fmt: skip
    for hook in hooks:
        (component,) = hook()
        assert (component.name, component.factory.__module__) == ("coin", "no_such_package")
        with pytest.raises(ModuleNotFoundError, match="no_such_package"):
            component.factory(settings(), context())
    assert hooks.k2_connectors()[0].capabilities is facts
