"""Tapes and what local exchanges are made of: several trades a frame, what happened before, texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from k2core.testing import (
    Deal,
    Dialect,
    Event,
    TapeExchange,
    TapeSettings,
    compact_json,
    generated,
    grouped,
    utc_text,
    utc_us,
)


def tape() -> list[Event]:
    return generated(["A", "B"], trades=400, quotes_per_trade=1, seconds=1, malformed=2, seed=3)


def test_grouped_frames_hold_every_event_in_order_and_no_more_than_they_may() -> None:
    found = list(grouped(tape(), 3, 0.01))
    for data_type in ("trades", "quotes"):
        for symbol in ("A", "B"):
            mine = [e for e in tape() if (e.data_type, e.symbol, e.sound) == (data_type, symbol, True)]
            frames = [e for e in found if (e.data_type, e.symbol, e.sound) == (data_type, symbol, True)]
            assert [one for e in frames for one in e.what] == [e.what for e in mine]
            assert max(len(e.what) for e in frames) == (3 if data_type == "trades" else 1)
    assert sum(not e.sound for e in found) == 2


def test_numbers_are_printed_digit_for_digit_and_times_to_the_microsecond() -> None:
    assert compact_json({"p": Decimal("0.10"), "s": "ü/x", "n": 7}) == '{"p":0.10,"s":"ü/x","n":7}'.encode()
    assert utc_text(1_723_161_255_342_789) == "2024-08-08T23:54:15.342789Z"
    assert utc_us("2024-08-08T23:54:15.342789Z") == 1_723_161_255_342_789


class Silent(Dialect):
    remembers = 2

    def on_message(self, message: bytes, current: set[str]) -> tuple[list[bytes], set[str]]:
        return [], current


class Local(TapeExchange):
    name, speaks = "pit", Silent

    def render(self, event: Event, now_us: int) -> bytes:
        deal: Deal = event.what
        return compact_json({"s": deal.symbol, "n": deal.trade_id, "p": deal.price, "q": deal.quantity, "t": now_us})

    def meaning(self, payload: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
        said = json.loads(payload)
        yield self.trade(said["s"], said["n"], said["p"], said["q"], "buy", said["t"], said["n"])


def test_what_happened_before_is_remembered_and_issued_only_where_it_is_told() -> None:
    local = Local(TapeSettings(symbols=["A"], trades=5, quotes_per_trade=0, malformed=0, before=3))
    memory = local.exchange.dialect.memory
    kept = [json.loads(payload)["n"] for payload in memory.newest("trades:A")]
    assert len(kept) == 2
    assert kept[1] == kept[0] + 1
    assert local.issued("trades") == []
    memory.issue(memory.newest("trades:A")[-1])
    assert [record["trade_id"] for record in local.issued("trades")] == [str(kept[1])]


def test_a_dialect_that_answers_nothing_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Dialect writes neither `on_message` nor `answer`"):
        Dialect().on_message(b"{}", set())
