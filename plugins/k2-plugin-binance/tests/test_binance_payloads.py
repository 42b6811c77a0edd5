"""The payloads that stand beside the structs are read as those structs say; `EVIDENCE.md` names what proves each."""

from __future__ import annotations

import inspect

import pytest
from k2_plugin_binance.normalizer import BinanceNormalizer
from k2_plugin_binance.quotes import Quote
from k2_plugin_binance.trades import Trade

from k2core.plugin import FrameBatch

RECEIVED_NS = 1_723_161_254_087_896_568


def payload_of(struct: type) -> bytes:
    """The payload in a struct's docstring."""
    text = inspect.cleandoc(struct.__doc__ or "").split("::\n\n", 1)[1].split("\n\n", 1)[0]
    return "".join(line.strip() for line in text.splitlines()).encode()


def bare(frame: bytes) -> bytes:
    return frame.split(b'"data":', 1)[1][:-1]


def normalize(*frames: bytes):
    return BinanceNormalizer().normalize(FrameBatch(list(frames), [RECEIVED_NS] * len(frames)))


TRADE = payload_of(Trade)
QUOTE = payload_of(Quote)

TRADE_ROW = {
    "symbol": "BTCUSDT",
    "exchange": "binance",
    "exchange_timestamp_ms": 1_723_161_255_342,
    "price": 61837.63,
    "quantity": 0.02,
    "side": "sell",
    "trade_id": "3735683259",
    "sequence_num": 3_735_683_259,
    "exchange_timestamp_us": 1_723_161_255_342_000,
    "received_timestamp_us": 1_723_161_254_087_896,
    "source": "live",
}
QUOTE_ROW = {
    "symbol": "BTCUSDT",
    "exchange": "binance",
    "exchange_timestamp_ms": 1_723_161_254_087,
    "bid_price": 61837.63,
    "bid_quantity": 3.78826,
    "ask_price": 61837.64,
    "ask_quantity": 1.54698,
    "update_id": "50093239212",
    "sequence_num": None,
    "exchange_timestamp_us": 1_723_161_254_087_896,
    "received_timestamp_us": 1_723_161_254_087_896,
    "source": "live",
    "timestamp_source": "received",
}


@pytest.mark.parametrize("frame", [TRADE, bare(TRADE)], ids=["combined", "raw"])
def test_the_documented_trade(frame: bytes) -> None:
    result = normalize(frame)
    assert result.records["trades"].to_pylist() == [TRADE_ROW]
    assert (result.yielding, result.control, list(result.rejected)) == (1, 0, [])


@pytest.mark.parametrize("frame", [QUOTE, bare(QUOTE)], ids=["combined", "raw"])
def test_the_documented_quote(frame: bytes) -> None:
    result = normalize(frame)
    assert result.records["quotes"].to_pylist() == [QUOTE_ROW]
    assert (result.yielding, result.control, list(result.rejected)) == (1, 0, [])


def test_side_is_the_aggressors() -> None:
    """Buyer is maker: his order was waiting, the seller came to it. Invert `trades.sides` and this fails."""
    buyer_waited = TRADE.replace(b'"m":true', b'"m":true')
    seller_waited = TRADE.replace(b'"m":true', b'"m":false')
    batch = normalize(buyer_waited, seller_waited).records["trades"]
    assert batch.column("side").to_pylist() == ["sell", "buy"]


def test_microseconds_are_told_from_milliseconds() -> None:
    micro = TRADE.replace(b'"T":1723161255342', b'"T":1723161255342789').replace(b'"E":17', b'"E":99917')
    batch = normalize(TRADE, micro).records["trades"]
    assert batch.column("exchange_timestamp_us").to_pylist() == [1_723_161_255_342_000, 1_723_161_255_342_789]
    assert batch.column("exchange_timestamp_ms").to_pylist() == [1_723_161_255_342, 1_723_161_255_342]


@pytest.mark.parametrize(
    ("frame", "data_type"),
    [
        (TRADE.replace(b',"M":true', b""), "trades"),
        (TRADE.replace(b'"t":', b'"b":88,"a":50,"t":'), "trades"),
        (TRADE.replace(b',"E":1723161255343', b""), "trades"),
        (TRADE.replace(b'"M":true', b'"M":{"new":["thing",1]}'), "trades"),
        (TRADE.replace(b":", b": ").replace(b",", b" , "), "trades"),
        (b" " + TRADE + b"\n", "trades"),
        (bare(QUOTE).replace(b'{"u"', b'{"E":1723161255343,"u"'), "quotes"),
        (bare(QUOTE).replace(b'{"u"', b'{"e":"bookTicker","u"'), "quotes"),
        (QUOTE.replace(b'"b":"61837.63000000","B":"3.78826000"', b'"b":"0.00000000","B":"0.00000000"'), "quotes"),
        (b'{"data":' + bare(TRADE) + b',"stream":"btcusdt@trade"}', "trades"),
        (TRADE.replace(b"btcusdt", b"a" * 40), "trades"),
    ],
)
def test_what_vanishes_appears_or_moves_does_no_harm(frame: bytes, data_type: str) -> None:
    result = normalize(frame, frame)
    assert result.records[data_type].num_rows == result.yielding == 2
    assert not result.rejected
