"""Answers that name subscriptions instead of requests: one each (Kraken), or all so far (Coinbase)."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

import pytest

from k2core.feed.subscribing import Asked, Subscribing, Wanted
from k2core.interfaces.connector import FrameKind, Reply, Request, WebSocketFeed
from k2core.interfaces.frames import Subscription

BTC, ETH, XRP = (Subscription(symbol, "trades") for symbol in ("BTC-USD", "ETH-USD", "XRP-USD"))


class NamedFeed(WebSocketFeed):
    """One request for everything; only `subscribe` matters here."""

    def subscriptions(self) -> Sequence[Subscription]:
        return [BTC, ETH, XRP]

    def endpoint(self, subscriptions: Sequence[Subscription]) -> str:
        return "wss://exchange.test"

    def subscribe(self, subscriptions: Sequence[Subscription], first_id: int) -> Sequence[Request]:
        return [Request(json.dumps([s.symbol for s in subscriptions]).encode(), str(first_id))]

    def is_data(self, frame: bytes) -> bool:
        return False

    def classify(self, frame: bytes) -> Reply:
        return Reply(FrameKind.OTHER)


class Asking:
    """A `Subscribing` whose requests are kept, all of them written at time 0."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted, self.asked = wanted, list[list[str]]()
        self.of = Subscribing(NamedFeed(), wanted, self._send, logging.getLogger("test.named"))
        self.of.begin(wanted.groups)

    def _send(self, request: Request, asked: Asked) -> None:
        self.asked.append(json.loads(request.payload))
        asked.sent_at = 0.0

    def accept(self, *named: Subscription) -> None:
        self.of.reply(Reply(FrameKind.ACK, subscriptions=named), accepted=True)

    def refuse(self, *named: Subscription, why: str = "no such product") -> None:
        self.of.reply(Reply(FrameKind.REFUSED, message=why, subscriptions=named), accepted=False)


def asking(*groups: tuple[Subscription, ...]) -> Asking:
    return Asking(Wanted(list(groups or [(BTC, ETH, XRP)])))


def test_a_request_is_answered_once_all_of_it_is_named() -> None:
    feed = asking()
    feed.accept(BTC)
    feed.accept(ETH)
    assert not feed.of.done
    feed.accept(XRP)
    assert feed.of.done
    assert feed.of.accepted


def test_an_answer_may_name_all_so_far_and_what_nobody_asked_for() -> None:
    feed = asking((BTC,), (ETH, XRP))
    feed.accept(BTC)
    assert list(feed.of.pending) == ["2"]
    feed.accept(BTC, ETH, XRP, Subscription("DOGE-USD", "trades"))
    assert feed.of.done
    assert feed.wanted.refused == {}


@pytest.mark.parametrize("refused_first", [True, False])
def test_a_named_refusal_costs_the_others_nothing(refused_first: bool) -> None:
    feed = asking()
    for step in (feed.refuse, feed.accept) if refused_first else (feed.accept, feed.refuse):
        step(*((ETH,) if step == feed.refuse else (BTC, XRP)))
    assert feed.of.done
    assert feed.wanted.refused == {ETH: "no such product"}
    assert feed.asked == [["BTC-USD", "ETH-USD", "XRP-USD"]]
    assert feed.wanted.groups == [(BTC, XRP), (ETH,)]


def test_a_refusal_that_comes_twice_is_one_and_another_connection_asks_apart() -> None:
    feed = asking()
    feed.refuse(ETH)
    feed.refuse(ETH, why="again")
    feed.accept(BTC, XRP)
    again = Asking(feed.wanted)
    assert again.asked == [["BTC-USD", "XRP-USD"], ["ETH-USD"]]
    again.accept(BTC, XRP, ETH)
    assert again.of.done
    assert feed.wanted.refused == {}


def test_an_exchange_that_drops_the_whole_request_is_asked_without_the_culprit_next_time() -> None:
    feed = asking()
    feed.refuse(ETH)
    assert feed.of.overdue(10, 10)
    assert Asking(feed.wanted).asked == [["BTC-USD", "XRP-USD"], ["ETH-USD"]]


def test_only_what_was_never_named_is_asked_for_again() -> None:
    feed = asking()
    feed.accept(BTC)
    assert not feed.of.overdue(10, 10)
    assert feed.asked[1:] == [["ETH-USD"], ["XRP-USD"]]
    assert feed.wanted.groups == [(BTC,), (ETH,), (XRP,)]


def test_a_refusal_of_something_unknown_changes_nothing() -> None:
    feed = asking()
    feed.refuse(Subscription("DOGE-USD", "trades"))
    assert not feed.of.done
    assert feed.wanted.refused == {}
    assert feed.wanted.groups == [(BTC, ETH, XRP)]
