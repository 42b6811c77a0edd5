"""The checks that a readable record must pass, a column at a time; each failure names its reason.

NaN, infinities, negative prices, a symbol on a foreign partition, times out of range and missing ids all end here,
before dedup, so that nothing later may refuse a record. Times are judged against the record's append time alone: the
machine's clock has no say, so a replay comes to the same result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from k2core.admission.joined import Failure
from k2core.records.data_type import DataType
from k2core.records.topics import partition_of

Mask = npt.NDArray[np.bool_]
Longs = npt.NDArray[np.int64]
SIDES = ("buy", "sell")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far event times may lie from the append time, ms; and how many partitions a topic has."""

    future_ms: int
    past_ms: int
    partitions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Readable records and where they lie.

    Args:
        batch: Record columns, n rows.
        partitions: Partition of each.
        timestamps: Append time of each, Unix µs.
        topic_codes: Index into `exchanges` of each.
        exchanges: The exchange of each topic.
        symbols: The distinct symbols.
        symbol_codes: Index into `symbols` of each.
    """

    batch: pa.RecordBatch
    partitions: Longs
    timestamps: Longs
    topic_codes: Longs
    exchanges: Sequence[str]
    symbols: list[str]
    symbol_codes: npt.NDArray[np.int32]


Refusal = tuple[Mask, str, str]
"""(which records, reason, detail with `{}` for the value of `column`)"""


def failures(data_type: DataType, placed: Placed, limits: Limits) -> tuple[Mask | None, list[Failure]]:
    """Check every record.

    Returns:
        Which rows of `placed` are refused (None: not one), and why; `Failure.row` counts within `placed`.
    """
    refused, found = None, []
    for wrong, reason, column in _refusals(data_type, placed, limits):
        if not wrong.any():
            continue
        fresh = wrong if refused is None else wrong & ~refused
        refused = fresh if refused is None else refused | fresh
        for row in np.flatnonzero(fresh).tolist():
            value = placed.batch.column(column)[row].as_py()
            symbol = placed.symbols[placed.symbol_codes[row]]
            found.append(Failure(row, reason, f"{column} is {value!r}: {_WANTED[reason]}"[:500], symbol))
    return refused, found


_WANTED = {
    "bad-number": "wanted a finite number, above 0 or not below 0 where its data type says so",
    "wrong-exchange": "wanted the exchange that the topic is named for",
    "missing-symbol": "wanted a symbol",
    "wrong-partition": "its records do not belong on this partition",
    "time-out-of-range": "too far from the time at which the log accepted it (see max_future_s, max_past_days)",
    "missing-id": "wanted the exchange's own id",
    "bad-side": "wanted buy, sell or null",
}


def _refusals(data_type: DataType, placed: Placed, limits: Limits) -> Iterator[tuple[Mask, str, str]]:
    batch = placed.batch
    by_symbol = np.array([partition_of(s, limits.partitions) for s in placed.symbols], np.int64)
    nameless = np.array([not s for s in placed.symbols], bool)
    yield nameless[placed.symbol_codes], "missing-symbol", "symbol"
    yield _foreign(placed), "wrong-exchange", "exchange"
    yield by_symbol[placed.symbol_codes] != placed.partitions, "wrong-partition", "symbol"
    for column in (c for c in data_type.columns if c.kind == "double"):
        yield _unnumbered(batch.column(column.name), data_type, column.name), "bad-number", column.name
    yield _untimely(batch.column(data_type.order), placed.timestamps, limits), "time-out-of-range", data_type.order
    if data_type.id_column:
        length = pc.fill_null(pc.binary_length(plain(batch.column(data_type.id_column))), 0)
        yield length.to_numpy(zero_copy_only=False) == 0, "missing-id", data_type.id_column
    if "side" in batch.schema.names:
        yield _sideless(batch.column("side")), "bad-side", "side"


def _unnumbered(column: Any, data_type: DataType, name: str) -> Mask:
    """NaN, infinite, or below what the data type wants; null is no number, but may be allowed to be none."""
    values: npt.NDArray[np.float64] = pc.fill_null(column, np.nan).to_numpy(zero_copy_only=False)
    low = values > 0 if name in data_type.positive else values >= (0 if name in data_type.not_negative else -np.inf)
    wrong: Mask = ~(low & (np.abs(values) < np.inf))
    return wrong & column.is_valid().to_numpy(zero_copy_only=False) if column.null_count else wrong


def _foreign(placed: Placed) -> Mask:
    codes, words = coded(placed.batch.column("exchange"))
    at = {word: k for k, word in enumerate(words)}
    wanted = np.array([at.get(exchange, -1) for exchange in placed.exchanges], np.int64)
    return np.asarray(codes != wanted[placed.topic_codes], bool)


def _untimely(column: Any, timestamps: Longs, limits: Limits) -> Mask:
    times = column.to_numpy(zero_copy_only=False)
    appended = timestamps // 1000
    return np.asarray((times <= 0) | (times > appended + limits.future_ms) | (times < appended - limits.past_ms), bool)


def _sideless(column: Any) -> Mask:
    codes, words = coded(column)
    wrong = np.array([*(word not in SIDES for word in words), False], bool)  # code -1 stands for null: allowed
    return np.asarray(wrong[codes], bool)


def coded(column: Any) -> tuple[npt.NDArray[np.int32], list[str]]:
    """A string column as codes (int32[n], -1 for null) and the distinct words they stand for."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    indices = column.indices
    if indices.null_count:
        indices = pc.fill_null(indices, -1)
    return indices.to_numpy(zero_copy_only=False).astype(np.int32, copy=False), column.dictionary.to_pylist()


def plain(column: Any) -> Any:
    """A string column without a dictionary."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
