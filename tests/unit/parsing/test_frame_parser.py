"""The simple form: a frame's records stand or fall together, neighbours live, and every error has its reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest

from k2core.plugin import (
    Column,
    DataType,
    FrameBatch,
    FrameParser,
    NormalizedBatch,
    PluginError,
    Quote,
    RejectFrame,
    Row,
    Trade,
    unix_us,
)
from k2core.records.builtin import QUOTES, TRADES

T = 1_723_161_255_342_789
NS = 1_723_161_255_999_888_777
TICKS = DataType(
    name="ticks", summary="ticks", record_name="Tick", versions=1, id_column="tick_id", table="market.ticks",
    positive=("size",),
    columns=(
        Column("symbol", "string", words=True), Column("exchange", "string", words=True),
        Column("exchange_timestamp_ms", "long"), Column("price", "double"), Column("tick_id", "string"),
        Column("size", "double", True), Column("count", "long", True), Column("source", "string", True, words=True),
        Column("exchange_timestamp_us", "long", True), Column("blob", "bytes", True),
    ),
)  # fmt: skip


class Given(FrameParser):
    """Gives what a test says, by the frame's number."""

    exchange = "pit"

    def __init__(self, *frames: Any) -> None:
        self.frames = frames

    def parse(self, frame: bytes) -> Iterable[Trade | Quote | Row]:
        found = self.frames[int(frame)]
        if isinstance(found, Exception):
            raise found
        return found() if callable(found) else found  # type: ignore[no-any-return]

    def read(self) -> NormalizedBatch:
        count = len(self.frames)
        found = self.normalize(FrameBatch([b"%d" % n for n in range(count)], [NS] * count))
        assert found.yielding + found.control + len(found.rejected) == count
        return found


def trade(number: int = 7, **changed: Any) -> Trade:
    fields = {"symbol": "AAA", "price": "1.50", "quantity": "2", "side": "buy", "trade_id": number, "time_us": T}
    return Trade(**(fields | changed))


def quote(number: int = 7, **changed: Any) -> Quote:
    numbers = {"bid_price": "1.5", "bid_quantity": "0", "ask_price": Decimal("1.6"), "ask_quantity": "2e-3"}
    return Quote(**({"symbol": "AAA", **numbers, "update_id": number} | changed))


def row(**changed: Any) -> Row:
    values = {"symbol": "AAA", "price": "-1.5", "tick_id": "x", "exchange_timestamp_us": T}
    return Row(TICKS, values | changed)


def test_trades_and_quotes_get_every_column() -> None:
    found = Given([trade(7, sequence_num=7), quote()], [], [quote(8, time_us=T)]).read()
    assert found.records["trades"].schema.equals(TRADES.arrow_schema)
    assert found.records["quotes"].schema.equals(QUOTES.arrow_schema)
    assert found.records["trades"].to_pylist() == [
        {"symbol": "AAA", "exchange": "pit", "exchange_timestamp_ms": T // 1000, "price": 1.5, "quantity": 2.0, "side": "buy",
         "trade_id": "7", "sequence_num": 7, "exchange_timestamp_us": T, "received_timestamp_us": NS // 1000,
         "source": "live"}
    ]  # fmt: skip
    first, second = found.records["quotes"].to_pylist()
    assert (first["exchange_timestamp_us"], first["timestamp_source"]) == (NS // 1000, "received")
    assert (second["exchange_timestamp_us"], second["timestamp_source"]) == (T, "exchange")
    assert (first["ask_price"], first["ask_quantity"], first["bid_quantity"]) == (1.6, 0.002, 0.0)
    assert (found.yielding, found.control) == (2, 1)


BAD: list[tuple[Any, str]] = [
    (trade(price="oops"), "bad-number"),
    (trade(price="0.12345678901234567891"), "inexact-number"),
    (trade(quantity="0"), "bad-number"),
    (trade(price=1.5), "wrong-type"),
    (trade(symbol=""), "unknown-symbol"),
    (trade(symbol=None), "wrong-type"),
    (trade(side="BUY"), "bad-side"),
    (trade(side=["buy"]), "bad-side"),
    (trade(trade_id=-1), "bad-number"),
    (trade(trade_id=""), "missing-field"),
    (trade(trade_id="x" * 300), "wrong-type"),
    (trade(trade_id=None), "wrong-type"),
    (trade(trade_id=10**5000), "bad-number"),
    (trade(time_us=T // 1000), "time-out-of-range"),
    (trade(time_us=T * 1000), "time-out-of-range"),
    (trade(time_us=None), "wrong-type"),
    (trade(sequence_num=-1), "bad-number"),
    (trade(sequence_num="7"), "wrong-type"),
    (quote(bid_price="-1"), "bad-number"),
    (quote(time_us=1), "time-out-of-range"),
    (row(price=None), "missing-field"),
    (row(size="0"), "bad-number"),
    (row(count="7"), "wrong-type"),
    (row(count=1 << 63), "bad-number"),
    (row(blob="text"), "wrong-type"),
    (row(nothing=1), "parser-error"),
    (("AAA", "1.5"), "parser-error"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD, ids=range(len(BAD)))
def test_a_frame_with_one_bad_record_falls_whole_and_alone(bad: Any, reason: str) -> None:
    found = Given([trade(1), quote(1)], [trade(2), quote(2), bad, trade(3)], [trade(4), quote(4), row()]).read()
    assert [(one.index, one.reason) for one in found.rejected] == [(1, reason)]
    assert found.records["trades"]["trade_id"].to_pylist() == ["1", "4"]
    assert found.records["quotes"]["update_id"].to_pylist() == ["1", "4"]
    assert 0 < len(found.rejected[0].detail) < 300


def raising(what: Callable[[], Any]) -> Callable[[], Any]:
    return what


ERRORS: list[tuple[Any, str]] = [
    (RejectFrame("unknown-symbol", "no AAA"), "unknown-symbol"),
    (raising(lambda: json.loads("{")), "malformed-json"),
    (raising(lambda: b"\xff".decode()), "malformed-json"),
    (raising(lambda: {}["p"]), "missing-field"),
    (raising(lambda: [][0]), "missing-field"),
    (raising(lambda: int("x")), "wrong-type"),
    (raising(lambda: len(7)), "wrong-type"),  # type: ignore[arg-type]
    (raising(lambda: Decimal("x")), "bad-number"),
    (raising(lambda: 1 // 0), "parser-error"),
    (raising(lambda: None), "wrong-type"),
]


@pytest.mark.parametrize(("error", "reason"), ERRORS, ids=range(len(ERRORS)))
def test_what_is_raised_becomes_a_reason(error: Any, reason: str) -> None:
    found = Given([trade(1)], error, [trade(2)]).read()
    assert [(one.index, one.reason) for one in found.rejected] == [(1, reason)]
    assert found.yielding == 2


def test_a_generator_that_fails_halfway_gives_nothing() -> None:
    def half() -> Iterable[Trade]:
        yield trade(2)
        raise KeyError("p")

    found = Given([trade(1)], half).read()
    assert found.records["trades"].num_rows == 1
    assert [one.reason for one in found.rejected] == ["missing-field"]


def test_rows_of_other_data_types_are_filled_in() -> None:
    found = Given([row(count=3, blob=b"x", size=Decimal("2.5"))]).read()
    assert found.records["ticks"].schema.equals(TICKS.arrow_schema)
    assert found.records["ticks"].to_pylist() == [
        {"symbol": "AAA", "exchange": "pit", "exchange_timestamp_ms": T // 1000, "price": -1.5, "tick_id": "x", "size": 2.5,
         "count": 3, "source": "live", "exchange_timestamp_us": T, "blob": b"x"}
    ]  # fmt: skip


def test_a_data_type_that_nobody_named_is_the_authors_mistake() -> None:
    with pytest.raises(
        PluginError, match=r"Row\('ticks', …\): give the DataType itself, or list it in Given\.data_types"
    ):
        Given([Row("ticks", {})]).read()


NO_ROWS: list[Any] = [
    Row(None, {}), Row([], {}), Row(7, {"a": 1}), Row("quotes", [1]), Row("quotes", None), Row("quotes", "ab"),
    Row("quotes", [("symbol", "AAA")]), Row("quotes", {1: 2, "a": 3}), Row(QUOTES, {None: 2, (): 3}),
]  # fmt: skip


@pytest.mark.parametrize("odd", NO_ROWS, ids=range(len(NO_ROWS)))
def test_a_row_that_is_none_costs_its_own_frame_alone(odd: Row) -> None:
    found = Given([trade(1)], [trade(2), odd], [row()], [trade(3)]).read()
    assert [(one.index, one.reason) for one in found.rejected] == [(1, "parser-error")]
    assert {name: batch.num_rows for name, batch in found.records.items()} == {"trades": 2, "ticks": 1}


@pytest.mark.parametrize("half", ["1\ud800", "\udfff", "1.5\ud83d"])
def test_half_a_character_is_no_number_and_no_text(half: str) -> None:
    given = Given([trade(1)], [trade(2, price=half)], [row(size=half)], [row(source=half)], [row()])
    found = given.read()
    wanted = [(1, "bad-number"), (2, "bad-number"), (3, "wrong-type")]
    assert [(one.index, one.reason) for one in found.rejected] == wanted
    assert found.yielding == 2


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2024-08-08T23:54:15.342789Z", T),
        ("2024-08-09T01:54:15.342789+02:00", T),
        ("2024-08-08T18:24:15.342789-05:30", T),
        ("2024-08-08T23:54:15.342789999Z", T),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_rfc_3339_times(text: str, us: int) -> None:
    assert unix_us(text) == us


@pytest.mark.parametrize("text", ["", "yesterday", "2024-08-08T23:54:15", "2024-13-08T23:54:15Z", 7, None])
def test_what_is_no_time_is_refused(text: Any) -> None:
    with pytest.raises(RejectFrame, match="time-out-of-range"):
        unix_us(text)


def test_of_a_key_that_stands_twice_the_last_counts() -> None:
    """In the simple form as anywhere: JSON leaves it open, and nobody reads every frame twice for it."""
    import msgspec

    class Print(msgspec.Struct):
        p: str
        n: int

    class Reads(FrameParser):
        exchange = "pit"

        def parse(self, frame: bytes) -> Iterable[Trade]:
            one = msgspec.json.decode(frame, type=Print)
            return [Trade("AAA", one.p, "1", None, one.n, T)]

    frame = b'{"p":"1.5","n":7,"p":"2.5"}'
    assert json.loads(frame)["p"] == "2.5"
    assert Reads().normalize(FrameBatch([frame], [NS])).records["trades"]["price"].to_pylist() == [2.5]
