"""What the API says of load: the writers' level on every answer, and ranges that an answer lacks because they were shed."""

from __future__ import annotations

import logging
import time

import pytest

from k2core.broker.specs import topic_spec
from k2core.degradation import Controller, DegradationSettings
from k2core.degradation.events import LEVELS_TOPIC, Announcer
from k2core.interfaces.shed import Shed
from k2core.interfaces.sink import LogFacts
from k2core.records.builtin import LEVELS
from k2core.records.topics import partition_of

TOPIC, SYMBOL = "market.crypto.trades.binance", "BTCUSDT"


@pytest.fixture
def writer(server):
    """Tells levels as a writer does."""
    server.log.ensure_topics([topic_spec(LEVELS_TOPIC, LEVELS)])
    announcer = Announcer(server.log.producer(), server.clock, "host:1", logging.getLogger("k2.write"))
    controller = Controller(DegradationSettings.model_validate({"down_s": 0}))

    def tell(memory: float) -> None:
        change = controller.observe(time.monotonic(), 0, memory)
        announcer.tell("market.trades", controller, change)
        server.board.look()

    yield tell
    tell(0.1)
    announcer.close()


def shed_range(server, state: str = "shed", **more) -> Shed:
    place = partition_of(SYMBOL)
    now_us = server.clock.now_us()
    return Shed(TOPIC, place, 0, 5, ((SYMBOL, 5),), "GRACEFUL", "GRACEFUL-1", now_us - 1_000_000, now_us, state, **more)


def test_every_answer_has_the_level_in_a_header(http, stranger, writer):
    assert http.get("/v1/trades").headers["x-k2-degradation"] == "NORMAL"
    writer(0.91)
    assert http.get("/v1/trades", params={"format": "csv"}).headers["x-k2-degradation"] == "AGGRESSIVE"
    assert stranger.get("/v1/nothing").headers["x-k2-degradation"] == "AGGRESSIVE"
    health = stranger.get("/health").json()["degradation"]
    assert health == {"level": "AGGRESSIVE", "tables": {"market.trades": {"level": "AGGRESSIVE", "cause": "memory"}}}
    writer(0.1)
    assert stranger.get("/health").json()["degradation"] == {"level": "NORMAL", "tables": {}}


def test_a_level_whose_writer_is_gone_is_forgotten(server, writer, monkeypatch):
    writer(0.91)
    assert server.board.level.name == "AGGRESSIVE"
    later = server.clock.now_us() + 91_000_000
    monkeypatch.setattr(type(server.clock), "now_us", lambda self: later)
    assert server.board.level.name == "NORMAL"


def test_answers_name_what_was_shed_and_others_stay_complete(http, server):
    table = server.tables["trades"]
    place = TOPIC, partition_of(SYMBOL)
    table.commit([], {place: 5}, LogFacts(shed=(shed_range(server),)))
    body = http.get("/v1/trades", params={"symbol": SYMBOL, "limit": 1000}).json()
    assert not body["complete"]
    (missing,) = body["missing"]
    assert (missing["partition"], missing["first_offset"], missing["next_offset"]) == (place[1], 0, 5)
    assert missing["reason"] == f"shed under load (GRACEFUL): {SYMBOL}; `k2 backfill --from-log` brings them back"
    assert "0" not in {t["trade_id"] for t in body["trades"]}, "what is below the table's offsets is the table's"
    assert http.get("/v1/trades", params={"symbol": "ETHUSDT"}).json()["complete"]
    assert (
        http.get("/v1/trades", params={"symbol": SYMBOL, "limit": 1000, "format": "csv"}).headers["x-k2-complete"]
        == "false"
    )
    (told,) = http.get("/v1/stats").json()["trades"]["shed"]
    assert (told["symbols"], told["records"], told["state"], told["level"]) == ({SYMBOL: 5}, 5, "shed", "GRACEFUL")


def test_what_is_back_is_complete_again_and_what_is_lost_says_so(http, server):
    table = server.tables["trades"]
    was = next(one for one in table.newest().shed if one.state == "shed")
    table.restore([shed_range(server, "restored", back_offset=250, back_us=server.clock.now_us())])
    assert [one.state for one in table.newest().shed] == ["restored"]
    assert http.get("/v1/trades", params={"symbol": SYMBOL, "limit": 1000}).json()["complete"]
    earlier = http.get("/v1/trades", params={"symbol": SYMBOL, "as_of": was.last_us // 1000, "limit": 1000}).json()
    assert not earlier["complete"]
    assert "brought back after this answer's pin" in earlier["missing"][0]["reason"]
