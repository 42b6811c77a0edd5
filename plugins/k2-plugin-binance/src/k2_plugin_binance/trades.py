"""The `@trade` channel: the payload, where a trade's side is decided, and the columns of `trades`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from k2_plugin_binance import columns
from k2_plugin_binance.columns import WORDS, Int64s
from k2_plugin_binance.frames import Refusal
from k2_plugin_binance.numbers import doubles, id_refusal, number_refusal


class Trade(msgspec.Struct, gc=False, tag_field="e", tag="trade"):
    """One execution, one buyer and one seller.

    Payload (recorded 2024-08-08 on the combined stream; raw streams send `data` alone)::

        {"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,
        "p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}

    Source: binance/binance-spot-api-docs, web-socket-streams.md, "Trade Streams". Older captures also carry the order
    ids `b` and `a`, newer ones do not, and `M` means nothing: only what is named here is required.

    Args:
        s: Symbol, upper case.
        t: Trade id, contiguous per symbol (measured on 34,419 recorded trades; the documentation is silent).
        p: Price.
        q: Quantity, of the base asset.
        T: Trade time, Unix ms, or µs where the connection asked for them. `E` is when the message was made.
        m: Whether the buyer is the maker.
    """

    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool


class WrappedTrade(msgspec.Struct, gc=False):
    """A trade as the combined stream sends it."""

    data: Trade


RAW = msgspec.json.Decoder(Trade)
WRAPPED = msgspec.json.Decoder(WrappedTrade)

_SIDES = pa.array(["buy", "sell"])
_SCHEMA = pa.schema(
    [
        pa.field("symbol", WORDS, nullable=False),
        pa.field("exchange", WORDS, nullable=False),
        pa.field("exchange_timestamp_ms", pa.int64(), nullable=False),
        pa.field("price", pa.float64(), nullable=False),
        pa.field("quantity", pa.float64(), nullable=False),
        pa.field("side", WORDS),
        pa.field("trade_id", pa.string()),
        pa.field("sequence_num", pa.int64()),
        pa.field("exchange_timestamp_us", pa.int64()),
        pa.field("received_timestamp_us", pa.int64()),
        pa.field("source", WORDS),
    ]
)


def sides(buyer_is_maker: Sequence[bool]) -> pa.Array[Any]:
    """The aggressor's side: where the buyer is the maker, his order was waiting, so the seller came to him: `sell`."""
    return columns.words(np.fromiter(buyer_is_maker, np.int32, len(buyer_is_maker)), _SIDES)


def fault(trade: Trade) -> Refusal | None:
    """Why a well-formed trade cannot be kept, or None."""
    return (
        columns.symbol_refusal(trade.s)
        or id_refusal("t (trade id)", trade.t)
        or number_refusal("p (price)", trade.p, zero=False)
        or number_refusal("q (quantity)", trade.q, zero=False)
        or columns.time_refusal("T (trade time)", trade.T)
    )


def records(rows: Sequence[Trade], received_ns: Int64s, *, looked_at: bool) -> pa.RecordBatch:
    """Columns of `trades`, one row a trade.

    Args:
        rows: n > 0 trades.
        received_ns: Receive time of each, Unix ns.
        looked_at: `fault` found none in any row.

    Raises:
        UnsureError: Some row may have a fault.
    """
    count = len(rows)
    ids = columns.ids([row.t for row in rows])
    times_us = columns.times_us([row.T for row in rows])
    fields = [[row.p for row in rows], [row.q for row in rows]]
    price, quantity = doubles(fields, zero=False, looked_at=looked_at)
    return pa.RecordBatch.from_arrays(
        [
            columns.symbols([row.s for row in rows]),
            columns.exchange(count),
            pa.array(times_us // 1000),
            price,
            quantity,
            sides([row.m for row in rows]),
            columns.texts(ids),
            pa.array(ids),
            pa.array(times_us),
            pa.array(received_ns // 1000),
            columns.live(count),
        ],
        schema=_SCHEMA,
    )
