"""Every bad message becomes one dead letter with its reason; its neighbours live; the same alone and in a batch."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from k2_plugin_kraken.normalizer import KrakenNormalizer

from k2core.plugin import FrameBatch

TIME = "2023-09-25T07:49:37.708706Z"
TRADE = {"symbol": "BTC/USD", "side": "buy", "price": 61837.6, "qty": 0.02, "trade_id": 7, "timestamp": TIME}
QUOTE = {"symbol": "BTC/USD", "bid": 1.5, "bid_qty": 2.0, "ask": 1.6, "ask_qty": 3.0, "timestamp": TIME}


def frame(channel: str, *data: dict[str, object]) -> bytes:
    return json.dumps({"channel": channel, "type": "update", "data": data}, separators=(",", ":")).encode()


def normalize(frames: list[bytes]):
    return KrakenNormalizer().normalize(FrameBatch(frames, [1_723_161_255_000_000_000 + n for n in range(len(frames))]))


GOOD_TRADE, GOOD_QUOTE = frame("trade", TRADE), frame("ticker", QUOTE)
BAD_FIELDS = [
    *[("trade", f, v, "wrong-type") for f in ("price", "qty") for v in (None, True, [1.0], {"1": 0})],
    *[("ticker", f, v, "wrong-type") for f in ("bid", "bid_qty", "ask", "ask_qty") for v in (None, False)],
    *[("trade", f, v, "bad-number") for f in ("price", "qty") for v in (0, 0.0, -1.5, "NaN", "Infinity", "x")],
    *[("ticker", f, v, "bad-number") for f in ("bid", "ask_qty") for v in (-1, "-Infinity")],
    *[("trade", "trade_id", v, "wrong-type") for v in ("7", 7.5, None, True)],
    *[("trade", "trade_id", v, "bad-number") for v in (-1, 1 << 63)],
    *[("trade", "side", v, "wrong-type") for v in ("b", "BUY", "")],
    *[(c, "timestamp", v, "wrong-type") for c in ("trade", "ticker") for v in (None, 1.5)],
    *[(c, "timestamp", v, "time-out-of-range") for c in ("trade", "ticker") for v in ("yesterday", TIME[:-1])],
    *[(c, "timestamp", "1970-01-01T00:00:00Z", "time-out-of-range") for c in ("trade", "ticker")],
    *[(c, "symbol", v, "unknown-symbol") for c in ("trade", "ticker") for v in ("", "X" * 65, "BTC\n/USD")],
    *[(c, "symbol", v, "wrong-type") for c in ("trade", "ticker") for v in (None, 7)],
]


@pytest.mark.parametrize(("channel", "field", "value", "reason"), BAD_FIELDS)
def test_a_bad_field_costs_its_message_and_no_other(channel: str, field: str, value: object, reason: str) -> None:
    good = TRADE if channel == "trade" else QUOTE
    result = normalize([GOOD_TRADE, frame(channel, good, good | {field: value}), GOOD_QUOTE, GOOD_TRADE])
    assert [(one.index, one.reason) for one in result.rejected] == [(1, reason)]
    assert (result.records["trades"].num_rows, result.records["quotes"].num_rows) == (2, 1)
    assert 0 < len(result.rejected[0].detail) < 310


@pytest.mark.parametrize(("channel", "field"), [*[("trade", f) for f in TRADE], *[("ticker", f) for f in QUOTE]])
def test_a_missing_field(channel: str, field: str) -> None:
    good = TRADE if channel == "trade" else QUOTE
    bad = frame(channel, {key: value for key, value in good.items() if key != field})
    (refused,) = normalize([GOOD_QUOTE, bad, GOOD_TRADE]).rejected
    assert (refused.index, refused.reason) == (1, "missing-field")
    assert field in refused.detail


SHAPES = [
    (b"", "malformed-json"),
    (b"{", "malformed-json"),
    (b"not json", "malformed-json"),
    (GOOD_TRADE[:-20], "malformed-json"),
    (GOOD_TRADE + GOOD_TRADE, "malformed-json"),
    (GOOD_TRADE.replace(b"BTC", b"B\xff"), "malformed-json"),
    (GOOD_TRADE.replace(b"61837.6", b"NaN"), "malformed-json"),
    (GOOD_TRADE.replace(b"61837.6", b"61837,6"), "malformed-json"),
    (b"[" * 100_000, "unknown-message"),
    (b"null", "unknown-message"),
    (b"[1,2]", "unknown-message"),
    (b"{}", "unknown-message"),
    (b'{"channel":7}', "wrong-type"),
    (b'{"channel":"trade"}', "wrong-type"),
    (b'{"channel":"trade","data":{}}', "wrong-type"),
    (b'{"channel":"book","type":"update","data":[]}', "unknown-message"),
    (b'[1,[["5541.2","0.15","1534614057.3","s","l",""]],"trade","XBT/USD"]', "unknown-message"),
]


@pytest.mark.parametrize(("bad", "reason"), SHAPES, ids=range(len(SHAPES)))
def test_a_bad_shape(bad: bytes, reason: str) -> None:
    result = normalize([GOOD_TRADE, bad, GOOD_QUOTE])
    assert [(one.index, one.reason) for one in result.rejected] == [(1, reason)]
    assert result.yielding == 2


mutated = st.builds(
    lambda whole, at, what: whole[: at % len(whole)] + what + whole[at % len(whole) + 1 :],
    st.sampled_from([frame("trade", TRADE, TRADE | {"trade_id": 8}), GOOD_QUOTE]),
    st.integers(0, 400),
    st.sampled_from([b"", b'"', b"{", b"}", b"\n", b"\xff", b"-", b"0", b"]", b","]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.sampled_from([GOOD_TRADE, GOOD_QUOTE]), mutated, st.binary(max_size=60)), max_size=12))
def test_a_batch_is_its_frames_one_by_one_and_accounts_for_each(frames: list[bytes]) -> None:
    result = normalize(frames)
    assert result.yielding + result.control + len(result.rejected) == len(frames)
    refused = {one.index: one.reason for one in result.rejected}
    for place, one in enumerate(frames):
        alone = normalize([one])
        assert [r.reason for r in alone.rejected] == ([refused[place]] if place in refused else [])
