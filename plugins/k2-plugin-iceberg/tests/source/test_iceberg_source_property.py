"""Whatever is selected, the source answers what reading every row with pyiceberg alone answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from k2_plugin_iceberg import scan as scanning

from k2core.plugin import Selection, partition_of
from k2core.records.builtin import TRADES

TOPICS = ("market.crypto.trades.binance", "market.crypto.trades.kraken")
SYMBOLS = ("BTCUSDT", "ETHUSDT", "BTC/USD", "ΩMEGA", "X", "nobody", "'; DROP TABLE x; --")
START = 4_102_358_400_000 + 86_400_000 - 200_000
TIMES = st.one_of(
    st.none(),
    st.integers(0, 300).map(lambda n: START + n * 1000),
    st.integers(0, 300).map(lambda n: START + 2 * 86_400_000 + n * 1000),
)
SETTINGS = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PLACES = tuple((t, partition_of(s)) for t in TOPICS for s in SYMBOLS[:5])


@st.composite
def selections(draw: Any, offsets: dict[Any, int], keys: list[Any]) -> Selection:
    """Bounds are mostly values that rows have, or one more: where mistakes are."""
    whole = draw(st.booleans())
    times = TIMES | st.sampled_from(keys).map(lambda k: k[0])
    if not whole and draw(st.booleans()):
        below = dict(offsets) | {k[1:3]: k[3] + draw(st.integers(0, 1)) for k in draw(st.lists(st.sampled_from(keys)))}
        return Selection(below=below, descending=draw(st.booleans()), limit=draw(st.none() | st.integers(1, 40)))
    below = dict(offsets) if whole else {p: draw(st.integers(0, offsets.get(p, 0) + 3)) for p in PLACES}
    if not whole and draw(st.booleans()):
        below.pop(PLACES[0])
    chosen = st.none() | st.lists(st.sampled_from(SYMBOLS), max_size=3).map(tuple)
    return Selection(
        symbols=draw(chosen),
        exchanges=draw(st.none() | st.sampled_from([("binance",), ("kraken", "binance"), ("nobody",), ()])),
        start_ms=draw(times), end_ms=draw(times), below=below,
        as_of_us=draw(TIMES.map(lambda t: None if t is None else t * 1000)),
        after=draw(st.none() | st.sampled_from(keys)), descending=draw(st.booleans()),
        limit=draw(st.none() | st.integers(0, 40)),
        columns=draw(st.none() | st.just(("price", "symbol"))),
    )  # fmt: skip


@pytest.fixture(params=["direct", "duckdb", "mixed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    rows = {"direct": 1 << 40, "duckdb": -1, "mixed": 20}[request.param]
    monkeypatch.setattr(scanning, "DIRECT_ROWS", rows)
    monkeypatch.setattr(scanning, "DIRECT_FILES", 1 << 40 if request.param == "direct" else 4)
    return str(request.param)


def test_every_selection_equals_brute_force(busy: Any, oracle: Any, way: str) -> None:
    rows, source = busy.brute(), busy.source()
    snapshot, keys = source.newest(), [oracle.key(r) for r in rows]

    @SETTINGS
    @given(selections(dict(snapshot.offsets), keys))
    def check(selection: Selection) -> None:
        found = source.scan(snapshot, selection, timeout=60).rows
        expected = oracle.scan(rows, selection)
        names = [n for n in TRADES.table_schema.names if n in found.column_names]
        assert found.schema.equals(TRADES.table_schema if selection.columns is None else found.schema)
        assert found.to_pylist() == [{n: r[n] for n in names} for r in expected]
        if selection.columns is not None:
            assert {"price", "symbol", "topic", "log_partition", "log_offset", TRADES.order} == set(found.column_names)

    check()


def test_every_bar_equals_brute_force(busy: Any, oracle: Any) -> None:
    rows, source = busy.brute(), busy.source()
    snapshot, keys = source.newest(), [oracle.key(r) for r in rows]

    @SETTINGS
    @given(selections(dict(snapshot.offsets), keys), st.sampled_from([1, 7000, 60_000, 86_400_000, 10**15]))
    def check(selection: Selection, interval: int) -> None:
        found = source.ohlcv(snapshot, selection, interval, price="price", quantity="quantity", timeout=60).rows
        mine = [r for r in rows if oracle.wanted(r, selection)]
        assert merged(found.to_pylist()) == bars(mine, interval, oracle.key)

    check()


def test_symbols_equal_brute_force(busy: Any, oracle: Any) -> None:
    rows, source = busy.brute(), busy.source()
    snapshot, keys = source.newest(), [oracle.key(r) for r in rows]

    @SETTINGS
    @given(selections(dict(snapshot.offsets), keys))
    def check(selection: Selection) -> None:
        found = source.symbols(snapshot, selection, timeout=60).rows.to_pylist()
        expected: dict[Any, list[int]] = {}
        for row in (r for r in rows if oracle.wanted(r, selection)):
            expected.setdefault((row["symbol"], row["exchange"]), []).append(row[TRADES.order])
        assert {(f["symbol"], f["exchange"]): (f["rows"], f["first_ms"], f["last_ms"]) for f in found} == {
            who: (len(ms), min(ms), max(ms)) for who, ms in expected.items()
        }

    check()


def bars(rows: list[Any], interval: int, key: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for r in sorted(rows, key=key):
        who = (r["symbol"], r["exchange"], r[TRADES.order] // interval * interval)
        bar = found.setdefault(who, [key(r), r["price"], None, None, r["price"], r["price"], 0.0, 0.0, 0])
        bar[2:4] = [key(r), r["price"]]
        bar[4], bar[5] = max(bar[4], r["price"]), min(bar[5], r["price"])
        bar[6], bar[7], bar[8] = bar[6] + r["quantity"], bar[7] + r["price"] * r["quantity"], bar[8] + 1
    return found


def merged(partial: list[Any]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for b in partial:
        first, last = ([b[f"{e}_{n}"] for n in ("ms", "topic", "partition", "offset")] for e in ("first", "last"))
        one = [tuple(first), b["open"], tuple(last), b["close"], b["high"], b["low"], b["volume"], b["notional"], b["trades"]]  # fmt: skip
        who = (b["symbol"], b["exchange"], b["bar_ms"])
        assert who not in found, "one exchange's symbol lies on one topic here"
        found[who] = one
    return found
