"""Why bad frames of Binance are refused, each with its reason, alone and among neighbours.

What holds for every normalizer (half frames, odd bytes, inexact numbers) is tested in `test_binance_conformance.py`.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from k2_plugin_binance.normalizer import BinanceNormalizer
from k2_plugin_binance.tape import spelled

from k2core.plugin import FrameBatch
from k2core.testing import generated

TRADE = {"e": "trade", "E": 1723161255343, "s": "BTCUSDT", "t": 7, "p": "61837.63000000", "q": "0.02000000"} | {
    "T": 1723161255342,
    "m": True,
    "M": True,
}
QUOTE = {"u": 9, "s": "BTCUSDT", "b": "61837.63000000", "B": "3.78826000", "a": "61837.64000000", "A": "1.54698000"}
STREAMS = {"trades": "btcusdt@trade", "quotes": "btcusdt@bookTicker"}


def dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def wrapped(event: dict, stream: str) -> bytes:
    return dump({"stream": stream, "data": event})


def normalize(frames: list[bytes]):
    return BinanceNormalizer().normalize(
        FrameBatch(frames, [1_723_161_255_000_000_000 + n for n in range(len(frames))])
    )


GOOD_TRADE, GOOD_QUOTE = wrapped(TRADE, STREAMS["trades"]), wrapped(QUOTE, STREAMS["quotes"])

BAD_FIELDS = [
    *[("trades", f, v, "wrong-type") for f in "pq" for v in (1, 1.5, None, True, ["1.0"])],
    *[("quotes", f, v, "wrong-type") for f in "bBaA" for v in (1, None, {"1": "0"})],
    *[("trades", f, "oops", "bad-number") for f in "pq"],
    *[("quotes", f, "oops", "bad-number") for f in "bBaA"],
    *[("trades", "t", v, "wrong-type") for v in ("7", 7.0, 7.5, None, True, [7])],
    *[("quotes", "u", v, "wrong-type") for v in ("7", 7.0, None, False)],
    *[(d, f, v, "bad-number") for d, f in (("trades", "t"), ("quotes", "u")) for v in (-1, 1 << 63, 10**40, 10**4000)],
    *[("trades", "T", v, "time-out-of-range") for v in (0, -1, 253402300800000, 999999999999999, 10**18, 1 << 63)],
    *[("trades", "T", v, "wrong-type") for v in ("1723161255342", 1.5, None)],
    *[("trades", "m", v, "wrong-type") for v in (1, 0, "true", None)],
    *[(d, "s", v, "unknown-symbol") for d in STREAMS for v in ("", "X" * 65, "BTC\u0000USDT", "BTC\nUSDT")],
    *[(d, "s", v, "wrong-type") for d in STREAMS for v in (None, 1, ["BTCUSDT"])],
    ("trades", "e", "aggTrade", "unknown-message"),
]


@pytest.mark.parametrize("raw", [False, True], ids=["combined", "raw"])
@pytest.mark.parametrize(("data_type", "field", "value", "reason"), BAD_FIELDS)
def test_a_bad_field(data_type: str, field: str, value: object, reason: str, raw: bool) -> None:
    event = (TRADE if data_type == "trades" else QUOTE) | {field: value}
    frame = dump(event) if raw else wrapped(event, STREAMS[data_type])
    result = normalize([GOOD_TRADE, frame, GOOD_QUOTE, GOOD_TRADE])
    assert [(one.index, one.reason) for one in result.rejected] == [(1, reason)]
    assert (result.records["trades"].num_rows, result.records["quotes"].num_rows) == (2, 1)
    assert 0 < len(result.rejected[0].detail) < 300


@pytest.mark.parametrize(
    ("data_type", "field"), [*[("trades", f) for f in "stpqTm"], *[("quotes", f) for f in "usbBaA"]]
)
@pytest.mark.parametrize("raw", [False, True], ids=["combined", "raw"])
def test_a_missing_field(data_type: str, field: str, raw: bool) -> None:
    event = {k: v for k, v in (TRADE if data_type == "trades" else QUOTE).items() if k != field}
    result = normalize([GOOD_QUOTE, dump(event) if raw else wrapped(event, STREAMS[data_type]), GOOD_TRADE])
    assert [(one.index, one.reason) for one in result.rejected] == [(1, "missing-field")]
    assert f"`{field}`" in result.rejected[0].detail
    assert result.yielding == 2


SHAPES = [
    (b"", "malformed-json"),
    (b"{", "malformed-json"),
    (b"not json", "malformed-json"),
    (GOOD_TRADE[:-20], "malformed-json"),
    (GOOD_TRADE + GOOD_TRADE, "malformed-json"),
    (GOOD_TRADE + b"\n" + GOOD_TRADE, "malformed-json"),
    (GOOD_TRADE + b" " + GOOD_TRADE, "malformed-json"),
    (GOOD_TRADE.replace(b"BTCUSDT", b"BTC\xff\xfe"), "malformed-json"),
    (GOOD_TRADE.replace(b"btcusdt", b"btc\xff"), "malformed-json"),
    (GOOD_TRADE.replace(b"BTCUSDT", b"\\ud800"), "malformed-json"),
    (GOOD_TRADE.replace(b'"61837.63000000"', b"NaN"), "malformed-json"),
    (b"[" * 100_000, "malformed-json"),
    (GOOD_TRADE[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "malformed-json"),
    (b"null", "unknown-message"),
    (b"[1,2]", "unknown-message"),
    (b'"trade"', "unknown-message"),
    (b"{}", "unknown-message"),
    (b'{"stream":"btcusdt@trade","data":null}', "wrong-type"),
    (b'{"stream":"btcusdt@trade","data":[]}', "wrong-type"),
    (b'{"stream":"btcusdt@trade"}', "missing-field"),
    (b'{"data":{}}', "missing-field"),
    (b'{"stream":7,"data":{}}', "wrong-type"),
    (b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","u":1,"b":[],"a":[]}}', "unknown-message"),
    (b'{"stream":"btcusdt@kline_1s","data":{"e":"kline","k":{}}}', "unknown-message"),
    (b'{"stream":"btcusdt@ticker","data":{"e":"24hrTicker"}}', "unknown-message"),
    (b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[],"a":[]}', "unknown-message"),
    (b'{"e":"aggTrade","a":1,"p":"1.0","q":"1.0"}', "unknown-message"),
    (b'{"lastUpdateId":160,"bids":[],"asks":[]}', "unknown-message"),
    (b'{"e":["trade"]}', "unknown-message"),
]


@pytest.mark.parametrize(("frame", "reason"), SHAPES, ids=range(len(SHAPES)))
def test_a_bad_shape(frame: bytes, reason: str) -> None:
    for neighbours in ([], [GOOD_TRADE], [GOOD_QUOTE], [GOOD_TRADE, GOOD_QUOTE]):
        result = normalize([*neighbours, frame, *neighbours])
        assert [(one.index, one.reason) for one in result.rejected] == [(len(neighbours), reason)]
        assert result.yielding == 2 * len(neighbours)


def test_frames_cannot_complete_each_other() -> None:
    """Joined, these would be as many values as frames; each alone is broken."""
    head, tail = GOOD_TRADE[:-1] + b',"x":[{}', b"{}]}"
    frames = [head, tail, GOOD_TRADE + b"\n" + GOOD_TRADE, GOOD_TRADE[:-1] + b',"x":"}', b'{"}']
    result = normalize([*frames, GOOD_TRADE])
    assert [one.index for one in result.rejected] == [0, 1, 2, 3, 4]
    assert result.yielding == 1


def as_text(result) -> tuple[object, ...]:
    rows = {name: batch.to_pylist() for name, batch in result.records.items()}
    return rows, result.control, result.yielding, [(one.index, one.reason) for one in result.rejected]


def one_by_one(frames: list[bytes]) -> tuple[object, ...]:
    rows: dict[str, list[object]] = {}
    control, yielding, refused = 0, 0, []
    for place, frame in enumerate(frames):
        one = BinanceNormalizer().normalize(FrameBatch([frame], [1_723_161_255_000_000_000 + place]))
        control, yielding = control + one.control, yielding + one.yielding
        refused += [(place, r.reason) for r in one.rejected]
        for name, batch in one.records.items():
            rows.setdefault(name, []).extend(batch.to_pylist())
    return rows, control, yielding, refused


TAPE = [
    b'{"stream":"%b","data":%b}' % (e.stream.encode(), e.rendered(1_723_161_255_342))
    for e in map(
        spelled, generated(["BTCUSDT", "ETHUSDT"], trades=40, quotes_per_trade=1, seconds=1, malformed=4, seed=1)
    )
]
bare = st.sampled_from([frame.split(b'"data":', 1)[1][:-1] for frame in TAPE])
bad = st.sampled_from([frame for frame, _ in SHAPES if len(frame) < 1000])
mutated = st.builds(
    lambda frame, at, what: frame[: at % len(frame)] + what + frame[at % len(frame) + 1 :],
    st.sampled_from(TAPE),
    st.integers(0, 400),
    st.sampled_from([b"", b'"', b"{", b"}", b"\n", b"\xff", b"-", b"0", b'","s":"X', b"}\n{", b" "]),
)
anything = st.one_of(st.sampled_from(TAPE), bare, bad, mutated, st.binary(max_size=60))


@settings(max_examples=300, deadline=None)
@given(st.lists(anything, max_size=20))
def test_a_batch_is_its_frames_one_by_one_and_accounts_for_each(frames: list[bytes]) -> None:
    result = normalize(frames)
    assert as_text(result) == one_by_one(frames)
    assert result.yielding + result.control + len(result.rejected) == len(frames)
    assert result.yielding == sum(batch.num_rows for batch in result.records.values())
    for batch in result.records.values():
        batch.validate(full=True)
