"""The `@bookTicker` channel: the payload and the columns of `quotes`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from k2core.plugin import Built, QuoteColumns, quote_records


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


def records(rows: Sequence[Quote], received_ns: npt.NDArray[np.int64]) -> Built:
    """Columns of `quotes`, one row a quote; an empty side of the book is sent as zeros.

    Args:
        rows: n > 0 quotes.
        received_ns: Receive time of each, Unix ns.
    """
    given = QuoteColumns(
        symbols=[row.s for row in rows],
        bid_prices=[row.b for row in rows],
        bid_quantities=[row.B for row in rows],
        ask_prices=[row.a for row in rows],
        ask_quantities=[row.A for row in rows],
        ids=[row.u for row in rows],
        received_ns=received_ns,
        typed=True,
    )
    return quote_records("binance", given)
