"""The `@bookTicker` channel: the payload and the columns of `quotes`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pyarrow as pa

from k2_plugin_binance import columns
from k2_plugin_binance.columns import WORDS, Int64s
from k2_plugin_binance.frames import Refusal
from k2_plugin_binance.numbers import doubles, id_refusal, number_refusal


class Quote(msgspec.Struct, gc=False):
    """Best bid and ask after a change of either.

    Payload (recorded 2024-08-08 on the combined stream; raw streams send `data` alone)::

        {"stream":"btcusdt@bookTicker","data":{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000",
        "a":"61837.64000000","A":"1.54698000"}}

    Source: binance/binance-spot-api-docs, web-socket-streams.md, "Individual Symbol Book Ticker Streams". Spot sends
    neither an event name nor a time here, so the receive time is the event time, and says so.

    Args:
        u: Update id of the order book, increasing per symbol, with holes: only changes at the top are sent.
        s: Symbol, upper case.
        b: Best bid price; 0 where nobody bids.
        B: Quantity at it.
        a: Best ask price; 0 where nobody asks.
        A: Quantity at it.
    """

    u: int
    s: str
    b: str
    B: str
    a: str
    A: str


class WrappedQuote(msgspec.Struct, gc=False):
    """A quote as the combined stream sends it."""

    data: Quote


RAW = msgspec.json.Decoder(Quote)
WRAPPED = msgspec.json.Decoder(WrappedQuote)

_RECEIVED = pa.array(["received"])
_SCHEMA = pa.schema(
    [
        pa.field("symbol", WORDS, nullable=False),
        pa.field("exchange", WORDS, nullable=False),
        pa.field("exchange_timestamp_ms", pa.int64(), nullable=False),
        pa.field("bid_price", pa.float64(), nullable=False),
        pa.field("bid_quantity", pa.float64(), nullable=False),
        pa.field("ask_price", pa.float64(), nullable=False),
        pa.field("ask_quantity", pa.float64(), nullable=False),
        pa.field("update_id", pa.string(), nullable=False),
        pa.field("sequence_num", pa.int64()),
        pa.field("exchange_timestamp_us", pa.int64()),
        pa.field("received_timestamp_us", pa.int64()),
        pa.field("source", WORDS),
        pa.field("timestamp_source", WORDS),
    ]
)


def fault(quote: Quote) -> Refusal | None:
    """Why a well-formed quote cannot be kept, or None. An empty side is sent as zeros and is fine."""
    return (
        columns.symbol_refusal(quote.s)
        or id_refusal("u (update id)", quote.u)
        or number_refusal("b (bid price)", quote.b, zero=True)
        or number_refusal("B (bid quantity)", quote.B, zero=True)
        or number_refusal("a (ask price)", quote.a, zero=True)
        or number_refusal("A (ask quantity)", quote.A, zero=True)
    )


def records(rows: Sequence[Quote], received_ns: Int64s, *, looked_at: bool) -> pa.RecordBatch:
    """Columns of `quotes`, one row a quote.

    Args:
        rows: n > 0 quotes.
        received_ns: Receive time of each, Unix ns.
        looked_at: `fault` found none in any row.

    Raises:
        UnsureError: Some row may have a fault.
    """
    count = len(rows)
    fields = [[row.b for row in rows], [row.B for row in rows], [row.a for row in rows], [row.A for row in rows]]
    prices = doubles(fields, zero=True, looked_at=looked_at)
    received_us = pa.array(received_ns // 1000)
    return pa.RecordBatch.from_arrays(
        [
            columns.symbols([row.s for row in rows]),
            columns.exchange(count),
            pa.array(received_ns // 1_000_000),
            *prices,
            columns.texts(columns.ids([row.u for row in rows])),
            pa.nulls(count, pa.int64()),
            received_us,
            received_us,
            columns.live(count),
            columns.words(np.zeros(count, np.int32), _RECEIVED),
        ],
        schema=_SCHEMA,
    )
