"""Recorded frames become the right records, and every bad frame a dead letter that costs its neighbours nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from k2_plugin_coinbase.normalizer import CoinbaseNormalizer

from k2core.plugin import FrameBatch, NormalizedBatch

MATCH = (
    b'{"type":"match","trade_id":1081862675,"maker_order_id":"f07e510f-4edf-469d-b844-4f670f1e93f1",'
    b'"taker_order_id":"e6f50944-3e2a-439e-ae49-308300ba8296","side":"sell","size":"0.00000001","price":"80691.53",'
    b'"product_id":"BTC-USD","sequence":134905860111,"time":"2026-08-25T03:35:57.198335Z"}'
)
LAST_MATCH = (
    b'{"type":"last_match","trade_id":1081862674,"maker_order_id":"f07e510f-4edf-469d-b844-4f670f1e93f1",'
    b'"taker_order_id":"55c8b85c-75ae-4cd5-9775-eba950fc4605","side":"sell","size":"0.00000001","price":"80691.53",'
    b'"product_id":"BTC-USD","sequence":134905859981,"time":"2026-08-25T03:35:57.096368Z"}'
)
TICKER = (
    b'{"type":"ticker","sequence":70942923614,"product_id":"BTC-USD","price":"43974.45","open_24h":"43907.27",'
    b'"volume_24h":"5439.41242986","low_24h":"43724.94","high_24h":"44510.01","volume_30d":"382489.32783775",'
    b'"best_bid":"43974.44","best_bid_size":"0.00743054","best_ask":"43974.45","best_ask_size":"0.21670607",'
    b'"side":"buy","time":"2024-01-07T22:55:34.347040Z","trade_id":592171029,"last_size":"0.00002997"}'
)
CONTROL = [
    b'{"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD"],"account_ids":null}]}',
    b'{"type":"error","message":"Failed to subscribe","reason":"ETH-USD is not a valid product"}',
    b'{"type":"heartbeat","last_trade_id":9035771,"product_id":"ADA-EUR","sequence":1935971303,'
    b'"time":"2022-10-25T12:27:38.227412Z"}',
    b'{"type":"l2update","product_id":"BTC-USD","changes":[["buy","80688.08","0.59153273"]],"time":"now"}',
    b'{"type":"something_new","trade_id":"no number","price":1}',
]


def normalize(*frames: bytes) -> NormalizedBatch:
    return CoinbaseNormalizer().normalize(FrameBatch(frames, [(n + 1) * 10**9 for n in range(len(frames))]))


def rows(data_type: str, *frames: bytes) -> list[dict[str, Any]]:
    return normalize(*frames).records[data_type].to_pylist()


def changed(frame: bytes, **fields: Any) -> bytes:
    return json.dumps(json.loads(frame) | fields, separators=(",", ":")).encode()


def without(frame: bytes, *names: str) -> bytes:
    return json.dumps({k: v for k, v in json.loads(frame).items() if k not in names}).encode()


@pytest.mark.parametrize(("frame", "number"), [(MATCH, 1081862675), (changed(MATCH, type="last_match"), 1081862675)])
def test_a_match_and_a_last_match_are_trades(frame: bytes, number: int) -> None:
    assert rows("trades", frame) == [
        {
            "symbol": "BTC-USD",
            "exchange": "coinbase",
            "exchange_timestamp_ms": 1787628957198,
            "price": 80691.53,
            "quantity": 1e-8,
            "side": "buy",
            "trade_id": str(number),
            "sequence_num": number,
            "exchange_timestamp_us": 1787628957198335,
            "received_timestamp_us": 1_000_000,
            "source": "live",
        }
    ]


def test_a_ticker_is_a_quote_with_the_exchanges_own_time() -> None:
    (quote,) = rows("quotes", TICKER)
    assert quote | {"received_timestamp_us": 0} == {
        "symbol": "BTC-USD",
        "exchange": "coinbase",
        "exchange_timestamp_ms": 1704668134347,
        "bid_price": 43974.44,
        "bid_quantity": 0.00743054,
        "ask_price": 43974.45,
        "ask_quantity": 0.21670607,
        "update_id": "70942923614",
        "sequence_num": None,
        "exchange_timestamp_us": 1704668134347040,
        "received_timestamp_us": 0,
        "source": "live",
        "timestamp_source": "exchange",
    }


def test_side_is_the_aggressors_though_the_makers_is_printed() -> None:
    frames = [changed(MATCH, side="sell"), changed(MATCH, side="buy"), changed(LAST_MATCH, side="sell")]
    assert [row["side"] for row in rows("trades", *frames)] == ["buy", "sell", "buy"]


def test_the_recorded_last_match_and_the_match_after_it_are_neighbours() -> None:
    first, second = rows("trades", LAST_MATCH, MATCH)
    assert second["sequence_num"] == first["sequence_num"] + 1


@pytest.mark.parametrize("frame", CONTROL)
def test_what_is_no_market_data_is_control(frame: bytes) -> None:
    result = normalize(MATCH, frame, TICKER)
    assert (result.control, result.yielding, list(result.rejected)) == (1, 2, [])


@pytest.mark.parametrize("frame", [MATCH, TICKER])
def test_what_vanishes_appears_or_moves_does_no_harm(frame: bytes) -> None:
    data_type = "trades" if frame is MATCH else "quotes"
    extra = ["maker_order_id", "taker_order_id", "price", "open_24h", "volume_24h", "side", "last_size", "trade_id"]
    spare = extra[:2] if frame is MATCH else extra[2:]
    other = dict(reversed(json.loads(changed(without(frame, *spare), fresh={"a": [1]})).items()))
    assert rows(data_type, json.dumps(other).encode()) == rows(data_type, frame)


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("2014-11-07T08:19:27.028459Z", 1415348367028459),
        ("2014-11-07T08:19:27.5Z", 1415348367500000),
        ("2014-11-07T08:19:27Z", 1415348367000000),
        ("2014-11-07T09:19:27.028459+01:00", 1415348367028459),
    ],
)
def test_times_are_exact_to_the_microsecond(text: str, time_us: int) -> None:
    assert [row["exchange_timestamp_us"] for row in rows("trades", changed(MATCH, time=text))] == [time_us]


def test_an_empty_side_of_the_book_is_zeros() -> None:
    (quote,) = rows("quotes", changed(TICKER, best_bid="0", best_bid_size="0.00000000"))
    assert (quote["bid_price"], quote["bid_quantity"]) == (0, 0)


BAD = [
    *[(MATCH, f, v, why) for f in ("price", "size") for v, why in (
        ("NaN", "bad-number"), ("-1", "bad-number"), ("", "bad-number"), ("0", "bad-number"),
        ("0.123456789012345678", "inexact-number"), (1.5, "wrong-type"), (None, "wrong-type"),
    )],
    *[(TICKER, f, v, why) for f in ("best_bid", "best_bid_size", "best_ask", "best_ask_size") for v, why in (
        ("Infinity", "bad-number"), ("-0.1", "bad-number"), ("43974.4400000000000001", "inexact-number"),
        (43974, "wrong-type"),
    )],
    *[(MATCH, "trade_id", v, why) for v, why in ((-1, "bad-number"), ("7", "wrong-type"), (2**63, "bad-number"))],
    *[(TICKER, "sequence", v, why) for v, why in ((-1, "bad-number"), (None, "wrong-type"))],
    *[(MATCH, "side", v, "wrong-type") for v in ("SELL", "", None, 1)],
    *[(f, "time", v, "time-out-of-range") for f in (MATCH, TICKER) for v in ("", "now", "2026-08-25T03:35:57")],
    (MATCH, "time", 1787628957, "wrong-type"),
    *[(f, "product_id", v, why) for f in (MATCH, TICKER) for v, why in (("", "unknown-symbol"), (1, "wrong-type"))],
]  # fmt: skip


@pytest.mark.parametrize(("frame", "field", "value", "reason"), BAD)
def test_a_bad_field(frame: bytes, field: str, value: Any, reason: str) -> None:
    result = normalize(MATCH, changed(frame, **{field: value}), TICKER)
    assert [(one.index, one.reason) for one in result.rejected] == [(1, reason)]
    assert 0 < len(result.rejected[0].detail) <= 300
    assert (result.records["trades"].num_rows, result.records["quotes"].num_rows) == (1, 1)


@pytest.mark.parametrize(
    ("frame", "field"),
    [
        *[(MATCH, f) for f in ("trade_id", "side", "size", "price", "product_id", "time", "type")],
        *[(TICKER, f) for f in ("sequence", "product_id", "best_bid", "best_bid_size", "best_ask", "best_ask_size")],
    ],
)
def test_a_vanished_field(frame: bytes, field: str) -> None:
    result = normalize(without(frame, field), LAST_MATCH)
    assert [(one.index, one.reason) for one in result.rejected] == [(0, "missing-field")]
    assert f"`{field}`" in result.rejected[0].detail
    assert result.yielding == 1


SHAPES = [
    (b"", "malformed-json"),
    (MATCH[:-9], "malformed-json"),
    (MATCH + MATCH, "malformed-json"),
    (MATCH.replace(b"BTC", b"B\xff"), "malformed-json"),
    (b'{"type":"match","x":' + b"[" * 100_000, "malformed-json"),
    (b"null", "unknown-message"),
    (b"[1]", "unknown-message"),
    (b'{"type":7}', "wrong-type"),
    (b"{}", "missing-field"),
]


@pytest.mark.parametrize(("frame", "reason"), SHAPES, ids=range(len(SHAPES)))
def test_a_bad_shape(frame: bytes, reason: str) -> None:
    result = normalize(MATCH, frame, TICKER)
    assert [(one.index, one.reason) for one in result.rejected] == [(1, reason)]
    assert result.yielding == 2


anything = st.one_of(
    st.sampled_from([MATCH, LAST_MATCH, TICKER, *CONTROL]),
    st.sampled_from([frame for frame, _ in SHAPES if len(frame) < 1000]),
    st.builds(lambda frame, at, what: frame[:at] + what + frame[at + 1 :], st.sampled_from([MATCH, TICKER]),
              st.integers(0, 380), st.sampled_from([b"", b'"', b"}", b"\xff", b"0", b"-", b",", b"e9"])),
    st.binary(max_size=60),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(anything, max_size=12))
def test_every_frame_is_accounted_for_and_alone_what_it_is_among_others(frames: list[bytes]) -> None:
    result = normalize(*frames)
    assert result.yielding + result.control + len(result.rejected) == len(frames)
    refused = {one.index: one.reason for one in result.rejected}
    for place, frame in enumerate(frames):
        assert [one.reason for one in normalize(frame).rejected] == [refused[n] for n in refused if n == place]
