"""Answers that name both the request and one of its subscriptions (Kraken), where a feed cuts a group into requests."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from k2core.feed.subscribing import Asked, Subscribing, Wanted
from k2core.interfaces.connector import FrameKind, Reply, Request, WebSocketFeed
from k2core.interfaces.frames import Subscription

SYMBOLS = ("BTC/USD", "ETH/USD", "XRP/USD")
TRADES = tuple(Subscription(symbol, "trades") for symbol in SYMBOLS)
QUOTES = tuple(Subscription(symbol, "quotes") for symbol in SYMBOLS)


class TwoChannels(WebSocketFeed):
    """One request a channel, which says what it asks for."""

    def subscriptions(self) -> Sequence[Subscription]:
        return [*TRADES, *QUOTES]

    def endpoint(self, subscriptions: Sequence[Subscription]) -> str:
        return "wss://exchange.test"

    def subscribe(self, subscriptions: Sequence[Subscription], first_id: int) -> Sequence[Request]:
        kinds = [kind for kind in ("trades", "quotes") if any(s.data_type == kind for s in subscriptions)]
        parts = [tuple(s for s in subscriptions if s.data_type == kind) for kind in kinds]
        return [Request(repr(part).encode(), str(n), part) for n, part in enumerate(parts, first_id)]

    def is_data(self, frame: bytes) -> bool:
        return False

    def classify(self, frame: bytes) -> Reply:
        return Reply(FrameKind.OTHER)


class Asking:
    """A `Subscribing` whose requests are written at time 0."""

    def __init__(self) -> None:
        self.wanted, self.sent = Wanted([(*TRADES, *QUOTES)]), list[Request]()
        self.of = Subscribing(TwoChannels(), self.wanted, self._send, logging.getLogger("test.answers"))
        self.of.begin(self.wanted.groups)

    def _send(self, request: Request, asked: Asked) -> None:
        self.sent.append(request)
        asked.sent_at = 0.0

    def reply(self, kind: FrameKind, name: str | None, *about: Subscription, why: str = "") -> None:
        self.of.reply(Reply(kind, name, why, about), accepted=kind is FrameKind.ACK)


def test_each_subscription_of_each_request_must_be_answered() -> None:
    feed = Asking()
    for name, part in (("1", TRADES), ("2", QUOTES)):
        for one in part:
            assert not feed.of.done
            feed.reply(FrameKind.ACK, name, one)
    assert feed.of.done
    assert len(feed.sent) == 2


def test_a_refusal_without_a_channel_means_what_its_request_asked_for() -> None:
    feed = Asking()
    feed.reply(FrameKind.REFUSED, "2", TRADES[1], QUOTES[1], why="Currency pair not supported ETH/USD")
    assert feed.wanted.refused == {QUOTES[1]: "Currency pair not supported ETH/USD"}
    for one in TRADES:
        feed.reply(FrameKind.ACK, "1", one)
    feed.reply(FrameKind.ACK, "2", QUOTES[0], TRADES[0])
    assert not feed.of.done
    feed.reply(FrameKind.ACK, "2", QUOTES[2])
    assert feed.of.done


def test_a_whole_request_refused_costs_the_other_request_nothing() -> None:
    """Only what it asked for is asked for again, in halves."""
    feed = Asking()
    feed.reply(FrameKind.REFUSED, "2", why="rate limit")
    assert [request.subscriptions for request in feed.sent[2:]] == [QUOTES[:1], QUOTES[1:]]
    assert "1" in feed.of.pending
    feed.reply(FrameKind.ACK, "1")
    assert set(feed.of.pending) == {"3", "4"}


def test_what_stays_unanswered_alone_is_asked_for_again() -> None:
    feed = Asking()
    for one in (*TRADES, *QUOTES[:2]):
        feed.reply(FrameKind.ACK, None, one)
    assert not feed.of.overdue(10, 10)
    assert feed.wanted.refused == {QUOTES[2]: "not acknowledged within 10 s"}
    assert len(feed.sent) == 2
