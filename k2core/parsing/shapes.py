"""What `FrameParser.parse` gives: `Trade`, `Quote`, `Row`. Light on purpose: an author makes one a record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from k2core.parsing.refusals import RejectFrame

if TYPE_CHECKING:
    from k2core.records.data_type import DataType

_EPOCH_DAY = datetime(1970, 1, 1, tzinfo=UTC).toordinal()


class Trade(msgspec.Struct, gc=False, frozen=True):
    """One execution.

    Args:
        symbol: As the exchange spells it.
        price: Decimal text as the exchange printed it (`"0.10"`, `"1e-8"`), or the `Decimal` of it; > 0.
        quantity: Likewise, of the base asset.
        side: The aggressor's (the taker's): `buy`, `sell`, or None where the feed does not say.
        trade_id: The exchange's own id.
        time_us: The exchange's event time, Unix µs.
        sequence_num: The exchange's own contiguous number, where it has one.
    """

    symbol: str
    price: str | Decimal
    quantity: str | Decimal
    side: str | None
    trade_id: str | int
    time_us: int
    sequence_num: int | None = None


class Quote(msgspec.Struct, gc=False, frozen=True):
    """Best bid and ask; numbers as in `Trade`, 0 where a side of the book is empty.

    Args:
        symbol: As the exchange spells it.
        bid_price: Best bid.
        bid_quantity: Quantity at it.
        ask_price: Best ask.
        ask_quantity: Quantity at it.
        update_id: The exchange's id of this state of the book.
        time_us: The exchange's event time, Unix µs; None where the feed prints none: then the receive time counts,
            and `timestamp_source` says `received`.
        sequence_num: The exchange's own contiguous number, where it has one.
    """

    symbol: str
    bid_price: str | Decimal
    bid_quantity: str | Decimal
    ask_price: str | Decimal
    ask_quantity: str | Decimal
    update_id: str | int
    time_us: int | None = None
    sequence_num: int | None = None


class Row(msgspec.Struct, frozen=True):
    """A record of any other data type.

    Args:
        data_type: The data type, or its name where `FrameParser.data_types` lists it.
        values: By column name: text for `string`, an integer for `long`, decimal text or `Decimal` for `double`, None
            where the column is nullable. `exchange`, `source`, `received_timestamp_us` and, given
            `exchange_timestamp_us`, also `exchange_timestamp_ms` are filled in.
    """

    data_type: str | DataType
    values: Mapping[str, Any]


def unix_us(text: str) -> int:
    """An RFC 3339 time with its zone, `2024-08-08T23:54:15.342789Z`, as Unix µs; what is finer is cut off.

    Raises:
        RejectFrame: It is no such time (`time-out-of-range`).
    """
    try:
        at = datetime.fromisoformat(text)
        shift = at.utcoffset()
        if shift is None:
            raise ValueError("it names no zone")
        seconds = (at.toordinal() - _EPOCH_DAY) * 86_400 + at.hour * 3600 + at.minute * 60 + at.second
        return (seconds - shift.days * 86_400 - shift.seconds) * 1_000_000 + at.microsecond - shift.microseconds
    except (ValueError, TypeError) as error:
        raise RejectFrame("time-out-of-range", f"{text!r:.60} is no RFC 3339 time: {error}"[:200]) from error
