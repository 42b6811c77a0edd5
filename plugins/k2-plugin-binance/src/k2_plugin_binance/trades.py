"""The `@trade` channel: the payload, where a trade's side is decided, and the columns of `trades`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from k2core.plugin import Built, TradeColumns, trade_records


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


def sides(buyer_is_maker: Sequence[bool]) -> npt.NDArray[np.int32]:
    """The aggressor's side, 0: buy, 1: sell. Where the buyer is the maker, his order was waiting: the seller took it."""
    return np.fromiter(buyer_is_maker, np.int32, len(buyer_is_maker))


def records(rows: Sequence[Trade], received_ns: npt.NDArray[np.int64]) -> Built:
    """Columns of `trades`, one row a trade.

    Args:
        rows: n > 0 trades.
        received_ns: Receive time of each, Unix ns.
    """
    ids = [row.t for row in rows]
    given = TradeColumns(
        symbols=[row.s for row in rows],
        prices=[row.p for row in rows],
        quantities=[row.q for row in rows],
        sides=sides([row.m for row in rows]),
        ids=ids,
        sequence=ids,
        times=[row.T for row in rows],
        unit="either",
        received_ns=received_ns,
        typed=True,
    )
    return trade_records("binance", given)
