"""The batch form: a normalizer hands over columns of fields as it read them, core checks and builds. Light to import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from k2core.parsing.refusals import Refusal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Int64s = npt.NDArray[np.int64]

TimeUnit = Literal["us", "ms", "either"]
"""`either`: told apart by size, row by row."""

Numbers = Sequence[str] | Sequence[Decimal] | Sequence[str | Decimal]


@dataclass(frozen=True, slots=True)
class Built:
    """What became of n rows.

    Args:
        records: The sound rows, in order; None where there is none.
        refused: Number of each other row, and why.
    """

    records: pa.RecordBatch | None
    refused: Sequence[tuple[int, Refusal]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeColumns:
    """Fields of n > 0 trades.

    Args:
        symbols: As the exchange spells them.
        prices: Decimal text or `Decimal`.
        quantities: Likewise.
        sides: The takers': `buy`, `sell` or None; or as codes in an int32 array (0: buy, 1: sell).
        ids: The exchange's own.
        times: Event times.
        received_ns: Receive times, Unix ns.
        sequence: The exchange's contiguous numbers; None: there are none. May be `ids` itself.
        unit: Of `times`.
        typed: A typed decoder saw to it that ids and times are integers: they need no second look.
    """

    symbols: Sequence[str]
    prices: Numbers
    quantities: Numbers
    sides: Sequence[str | None] | npt.NDArray[np.int32]
    ids: Sequence[str | int]
    times: Sequence[int]
    received_ns: Int64s
    sequence: Sequence[int | None] | None = None
    unit: TimeUnit = "us"
    typed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteColumns:
    """Fields of n > 0 quotes; see `TradeColumns`.

    Args:
        symbols: As the exchange spells them.
        bid_prices: Decimal text or `Decimal`; 0 is an empty side.
        bid_quantities: Likewise.
        ask_prices: Likewise.
        ask_quantities: Likewise.
        ids: Update ids.
        received_ns: Receive times, Unix ns.
        times: Event times, None where the feed printed none; None for all: it never does.
        sequence: The exchange's contiguous numbers; None: there are none.
        unit: Of `times`.
        typed: See `TradeColumns`.
    """

    symbols: Sequence[str]
    bid_prices: Numbers
    bid_quantities: Numbers
    ask_prices: Numbers
    ask_quantities: Numbers
    ids: Sequence[str | int]
    received_ns: Int64s
    times: Sequence[int | None] | None = None
    sequence: Sequence[int | None] | None = None
    unit: TimeUnit = "us"
    typed: bool = False


def trade_records(exchange: str, given: TradeColumns) -> Built:
    """Trades as a record batch of all columns of `trades`; bad rows are refused, never raised.

    Args:
        exchange: The market's name.
        given: Fields of n > 0 rows.
    """
    from k2core.parsing.built import build_trades

    return build_trades(exchange, given)


def quote_records(exchange: str, given: QuoteColumns) -> Built:
    """Quotes as a record batch of all columns of `quotes`; bad rows are refused, never raised.

    Args:
        exchange: The market's name.
        given: Fields of n > 0 rows.
    """
    from k2core.parsing.built import build_quotes

    return build_quotes(exchange, given)
