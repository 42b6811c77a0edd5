"""`Example`: a frame as the exchange sent it, and what it means. All that an author has to know about his exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """A sound frame of market data, and the records in it.

    Args:
        frame: The bytes, as they came (recorded, or from the exchange's documentation).
        records: By data type, the record columns of each record in order, worked out by hand: for trades at least
            `symbol`, `trade_id`, `price`, `quantity`, `side` and `exchange_timestamp_us` (Unix µs); for quotes `symbol`,
            `update_id`, the four numbers and, where the feed prints a time, `exchange_timestamp_us`. Numbers are the
            decimal text that the frame prints.
    """

    frame: bytes
    records: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.records.values()))
