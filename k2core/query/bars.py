"""OHLCV bars: partial bars of rows, and partial bars of both halves made one.

Exact, wherever the halves meet: first and last go by key, sums are added up as whole numbers (`exact.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.errors import QueryError
from k2core.query.arrays import ranks, texts
from k2core.query.exact import digits_of, parts_of, rounded, totals_of
from k2core.query.keyorder import key_columns

_PARTIAL: list[tuple[str, Any]] = [
        ("symbol", pa.string()), ("exchange", pa.string()), ("bar_ms", pa.int64()),
        ("first_ms", pa.int64()), ("first_topic", pa.string()), ("first_partition", pa.int32()),
        ("first_offset", pa.int64()), ("open", pa.float64()),
        ("last_ms", pa.int64()), ("last_topic", pa.string()), ("last_partition", pa.int32()),
        ("last_offset", pa.int64()), ("close", pa.float64()),
        ("high", pa.float64()), ("low", pa.float64()), ("volume", pa.float64()), ("notional", pa.float64()),
        ("trades", pa.int64()),
        ("volume_parts", pa.list_(pa.float64())), ("notional_parts", pa.list_(pa.float64())),
    ]  # fmt: skip
PARTIAL = pa.schema(_PARTIAL)
SUMS = ("volume", "notional")

_BARS: list[tuple[str, Any]] = [
        ("symbol", pa.string()), ("exchange", pa.string()), ("bar_ms", pa.int64()), ("open", pa.float64()),
        ("high", pa.float64()), ("low", pa.float64()), ("close", pa.float64()), ("volume", pa.float64()),
        ("notional", pa.float64()), ("vwap", pa.float64()), ("trades", pa.int64()),
    ]  # fmt: skip
BARS = pa.schema(_BARS)


def partial_bars(rows: pa.Table, interval_ms: int, order: str, price: str, quantity: str) -> pa.Table:
    """Partial bars (`PARTIAL`) of rows."""
    if not rows.num_rows:
        return PARTIAL.empty_table()
    bar = rows.column(order).to_numpy() // interval_ms * interval_ms
    who = ranks(rows, "exchange"), ranks(rows, "symbol")
    at = np.lexsort((*key_columns(rows, order), bar, *who))
    rows, bar = rows.take(at), bar[at]
    first = _starts(bar, *(codes[at] for codes in who))
    last = np.append(first[1:], len(bar)) - 1
    prices, quantities = rows.column(price).to_numpy(), rows.column(quantity).to_numpy()
    columns: dict[str, Any] = {n: texts(rows, n)[first] for n in ("symbol", "exchange")} | {"bar_ms": bar[first]}
    for name, place, value in (("first", first, "open"), ("last", last, "close")):
        columns |= {
            f"{name}_ms": rows.column(order).to_numpy()[place],
            f"{name}_topic": texts(rows, "topic")[place],
            f"{name}_partition": rows.column("log_partition").to_numpy()[place],
            f"{name}_offset": rows.column("log_offset").to_numpy()[place],
            value: prices[place],
        }
    columns |= {
        "high": np.maximum.reduceat(prices, first),
        "low": np.minimum.reduceat(prices, first),
        "trades": last - first + 1,
    }
    for name, amounts in zip(SUMS, (quantities, _product(prices, quantities)), strict=True):
        digits = digits_of(amounts, first)
        columns |= {name: totals_of(digits), f"{name}_parts": _listed(parts_of(digits))}
    return pa.table({f.name: pa.array(columns[f.name], f.type) for f in PARTIAL}, schema=PARTIAL)


def merge_bars(parts: list[pa.Table], *, descending: bool = False) -> pa.Table:
    """Bars (`BARS`) of partial bars, ordered by time, symbol and exchange."""
    table = pa.concat_tables([_plain(p) for p in parts])
    if not table.num_rows:
        return BARS.empty_table()
    bar, symbol, exchange = table.column("bar_ms").to_numpy(), texts(table, "symbol"), texts(table, "exchange")
    by_first = np.lexsort((*_ends(table, "first"), _rank(exchange), _rank(symbol), bar))
    by_last = np.lexsort((*_ends(table, "last"), _rank(exchange), _rank(symbol), bar))
    first = _starts(bar[by_first], exchange[by_first], symbol[by_first])
    last = np.append(first[1:], len(bar)) - 1
    cell = {n: table.column(n).to_numpy()[by_first] for n in ("high", "low", "trades")}
    volume, notional = (_total(table.column(f"{n}_parts"), by_first, first) for n in SUMS)
    with np.errstate(invalid="ignore", divide="ignore"):
        vwap = rounded(np.where(volume > 0, notional / volume, np.nan))
    columns: dict[str, Any] = {
        "symbol": symbol[by_first][first], "exchange": exchange[by_first][first], "bar_ms": bar[by_first][first],
        "open": table.column("open").to_numpy()[by_first][first],
        "close": table.column("close").to_numpy()[by_last][last],
        "high": np.maximum.reduceat(cell["high"], first), "low": np.minimum.reduceat(cell["low"], first),
        "volume": volume, "notional": notional, "vwap": vwap, "trades": np.add.reduceat(cell["trades"], first),
    }  # fmt: skip
    bars = pa.table({f.name: pa.array(columns[f.name], f.type, from_pandas=True) for f in BARS}, schema=BARS)
    return bars.take(np.arange(len(bars))[::-1]) if descending else bars


def _plain(table: pa.Table) -> pa.Table:
    if not table.num_rows:
        return PARTIAL.empty_table()
    for name in SUMS:
        parts = f"{name}_parts"
        told = parts in table.column_names
        if told and not table.column(parts).null_count:
            continue
        table = table.drop_columns([parts]) if told else table  # a source whose sums are plain doubles
        table = table.append_column(parts, _listed(table.column(name).to_numpy()[:, None]))
    return table if table.schema.equals(PARTIAL) else table.select(PARTIAL.names).cast(PARTIAL)


def _product(prices: npt.NDArray[np.float64], quantities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    with np.errstate(over="ignore"):
        found: npt.NDArray[np.float64] = prices * quantities
    return found


def _listed(parts: npt.NDArray[np.float64]) -> Any:
    """Equally many parts of each sum as a list column."""
    ends: Any = pa.array(np.arange(len(parts) + 1, dtype=np.int32) * parts.shape[1])
    return pa.ListArray.from_arrays(ends, pa.array(parts.ravel()))


def _total(parts: Any, order: npt.NDArray[np.intp], first: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Sums of groups of partial sums: rows in an order, and where in it each group begins."""
    lists: Any = parts.combine_chunks().take(pa.array(order))
    lists = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    lengths = np.diff(lists.offsets.to_numpy())
    if lists.null_count or not lengths.all():
        raise QueryError("a query source left the parts of a sum empty: it is broken", kind="internal", status=500)
    starts = np.cumsum(lengths) - lengths
    return totals_of(digits_of(lists.flatten().to_numpy(), starts[first]))


def _ends(table: pa.Table, which: str) -> tuple[npt.NDArray[Any], ...]:
    longs = [table.column(f"{which}_{name}").to_numpy() for name in ("offset", "partition", "ms")]
    return longs[0], longs[1], _rank(texts(table, f"{which}_topic")), longs[2]


def _starts(*columns: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Where a new group begins in sorted columns."""
    changed = np.logical_or.reduce([c[1:] != c[:-1] for c in columns])
    return np.concatenate([[0], np.flatnonzero(changed) + 1])


def _rank(values: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    ranks: npt.NDArray[np.intp] = np.unique(values, return_inverse=True)[1]
    return ranks
