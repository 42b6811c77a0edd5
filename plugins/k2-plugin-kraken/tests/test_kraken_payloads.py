"""The payloads that stand beside the structs are read as those structs say; `README.md` names what proves each fact."""

from __future__ import annotations

import inspect

import pytest
from k2_plugin_kraken.feed import Control
from k2_plugin_kraken.normalizer import KrakenNormalizer, KrakenTicker, KrakenTrade

from k2core.plugin import FrameBatch
from k2core.records.builtin import QUOTES, TRADES

RECEIVED_NS = 1_695_628_177_800_000_123


def payload_of(struct: type) -> bytes:
    """The payload in a struct's docstring."""
    text = inspect.cleandoc(struct.__doc__ or "").split("::\n\n", 1)[1].split("\n\n", 1)[0]
    return "".join(line.strip() for line in text.splitlines()).encode()


def normalize(*frames: bytes):
    return KrakenNormalizer().normalize(FrameBatch(list(frames), [RECEIVED_NS] * len(frames)))


TRADES_FRAME, TICKER = payload_of(KrakenTrade), payload_of(KrakenTicker)


def test_the_documented_trades() -> None:
    result = normalize(TRADES_FRAME)
    assert result.records["trades"].to_pylist()[0] == {
        "symbol": "MATIC/USD",
        "exchange": "kraken",
        "exchange_timestamp_ms": 1_695_628_116_925,
        "price": 0.5147,
        "quantity": 6423.46326,
        "side": "buy",
        "trade_id": "4665846",
        "sequence_num": 4_665_846,
        "exchange_timestamp_us": 1_695_628_116_925_533,
        "received_timestamp_us": 1_695_628_177_800_000,
        "source": "live",
    }
    assert (result.yielding, result.control, list(result.rejected)) == (1, 0, [])


def test_every_trade_of_a_message_is_kept() -> None:
    trades = normalize(TRADES_FRAME).records["trades"]
    assert trades.column("trade_id").to_pylist() == ["4665846", "4665847"]
    assert trades.column("quantity").to_pylist() == [6423.46326, 1136.19677815]


def test_side_is_the_takers_as_printed() -> None:
    assert normalize(TRADES_FRAME).records["trades"].column("side").to_pylist() == ["buy", "sell"]


def test_the_documented_ticker() -> None:
    (row,) = normalize(TICKER).records["quotes"].to_pylist()
    assert row.pop("update_id").startswith("1695628177708706-")
    assert row == {
        "symbol": "ALGO/USD",
        "exchange": "kraken",
        "exchange_timestamp_ms": 1_695_628_177_708,
        "bid_price": 0.10025,
        "bid_quantity": 740.0,
        "ask_price": 0.10036,
        "ask_quantity": 1361.44813783,
        "sequence_num": None,
        "exchange_timestamp_us": 1_695_628_177_708_706,
        "received_timestamp_us": 1_695_628_177_800_000,
        "source": "live",
        "timestamp_source": "exchange",
    }


def test_a_quote_is_its_time_and_its_content() -> None:
    """Again by another connection or in a snapshot: the same. Another time, or another content: another quote."""
    changed = [
        TICKER.replace(b'"type":"update"', b'"type":"snapshot"').replace(b'"last":0.10035', b'"last":0.2'),
        TICKER.replace(b"37.708706Z", b"37.708707Z"),
        TICKER.replace(b'"bid_qty":740.0', b'"bid_qty":740.1'),
        TICKER.replace(b'"ask":0.10036', b'"ask":0.10037'),
    ]
    ids = normalize(TICKER, *changed).records["quotes"].column("update_id").to_pylist()
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4


def test_columns_are_those_of_the_data_types() -> None:
    result = normalize(TRADES_FRAME, TICKER)
    assert result.records["trades"].schema.equals(TRADES.arrow_schema)
    assert result.records["quotes"].schema.equals(QUOTES.arrow_schema)


def test_json_numbers_are_read_digit_for_digit() -> None:
    """0.1 + 0.2 as a double would be printed as this; read through a double it could not be told from 0.3's neighbours."""
    good = [b"0.30000000000000004", b"1e-8", b"6423.46326000", b"100000000", b"5E+3"]
    bad = [b"0.30000000000000001", b"9007199254740993", b"61837.6300000000000000001"]
    for text in good:
        (first, _) = normalize(TRADES_FRAME.replace(b"0.5147", text, 1)).records["trades"].column("price").to_pylist()
        assert first == float(text)
    for text in bad:
        (refused,) = normalize(TRADES_FRAME.replace(b"0.5147", text, 1)).rejected
        assert refused.reason == "inexact-number"


@pytest.mark.parametrize(
    ("time", "us"), [("36.925533999Z", 533), ("36.9255339Z", 533), ("36.9255Z", 500), ("36.92553Z", 530)]
)
def test_times_finer_than_a_microsecond_are_cut_off(time: str, us: int) -> None:
    trades = normalize(TRADES_FRAME.replace(b"36.925533Z", time.encode(), 1)).records["trades"]
    assert trades.column("exchange_timestamp_us").to_pylist()[0] == 1_695_628_116_925_000 + us


@pytest.mark.parametrize("time", ["1970-01-01T00:00:00Z", "2023-09-25T07:49:37.708706Z"])
def test_an_empty_book_is_no_quote(time: str) -> None:
    empty = b'{"channel":"ticker","type":"snapshot","data":[{"symbol":"A/B","bid":0.0,"bid_qty":0,"ask":0.0,"ask_qty":0'
    result = normalize(TICKER, empty + b',"timestamp":"%b"}]}' % time.encode(), TICKER)
    assert (result.control, result.yielding, list(result.rejected)) == (1, 2, [])


def test_half_an_empty_book_is_a_quote() -> None:
    one_sided = TICKER.replace(b'"bid":0.10025,"bid_qty":740.0', b'"bid":0.0,"bid_qty":0.0')
    (row,) = normalize(one_sided).records["quotes"].to_pylist()
    assert (row["bid_price"], row["ask_price"]) == (0.0, 0.10036)


@pytest.mark.parametrize(
    "frame",
    [
        *[line.encode() for line in payload_of(Control).decode().replace("}{", "}\n{").splitlines()],
        b'{"channel":"status","type":"update","data":[{"system":"online","api_version":"v2"}]}',
        b'{"channel":"trade","type":"snapshot","data":[]}',
        b'{ "channel" : "heartbeat" }',
    ],
)
def test_control_is_counted_not_refused(frame: bytes) -> None:
    result = normalize(TRADES_FRAME, frame, TICKER)
    assert (result.control, result.yielding, list(result.rejected)) == (1, 2, [])


@pytest.mark.parametrize(
    "frame",
    [
        TRADES_FRAME.replace(b',"ord_type":"limit"', b""),
        TRADES_FRAME.replace(b'"symbol"', b'"new":{"thing":[1]},"symbol"'),
        TRADES_FRAME.replace(b":", b": ").replace(b",", b" , ").replace(b"07: 4", b"07:4").replace(b"T0", b"T0"),
        b'{"type":"update","data":' + TRADES_FRAME.partition(b'"data":')[2][:-1] + b',"channel":"trade"}',
    ],
)
def test_what_vanishes_appears_or_moves_does_no_harm(frame: bytes) -> None:
    frame = frame.replace(b"07:48: 36", b"07:48:36").replace(b"07:49: 36", b"07:49:36")
    assert normalize(frame).records["trades"].num_rows == 2


def test_every_record_has_the_receive_time_of_its_own_message() -> None:
    """Two messages, the first with two trades: as many trades as messages, were the second a heartbeat's."""
    frames = [TRADES_FRAME, b'{"channel":"heartbeat"}']
    batch = KrakenNormalizer().normalize(FrameBatch(frames, [RECEIVED_NS, RECEIVED_NS + 10**9])).records["trades"]
    assert set(batch.column("received_timestamp_us").to_pylist()) == {RECEIVED_NS // 1000}
