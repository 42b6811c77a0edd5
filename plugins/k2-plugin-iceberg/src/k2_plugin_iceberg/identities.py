"""Identities in one data file: those that match, all of a time range, or their largest mark per stream.

Only the columns that are needed are read. Ids are numbers where all of a file's are canonical decimals below 2**63,
else texts; either way two ids are equal if and only if their texts are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from k2_plugin_iceberg.arrays import longs, words
from k2_plugin_iceberg.filelist import MOST
from k2core.plugin import ChannelFacts, DataType, IdentityBatch, Partition, Stream

Longs = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
CANONICAL = "^(0|[1-9][0-9]{0,18})$"
WHO = ("symbol", "exchange", "id_epoch")
PLACE = ("topic", "log_partition", "log_offset", "log_timestamp")


@dataclass(frozen=True, slots=True)
class Bound:
    """Which rows of a file count.

    Args:
        partition: Those of this one.
        since_us: Appended at or after this, Unix µs.
        before_us: Appended before this.
        end: At offsets below this.
    """

    partition: Partition
    since_us: int
    before_us: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Matching:
    """Rows whose id is among those looked for: code of the id, index into `streams`, offset."""

    codes: Longs
    streams: list[Stream]
    stream: Longs
    offsets: Longs


class IdentityReader:
    """Reads the identity columns of data files.

    Args:
        data_type: Whose rows.
    """

    def __init__(self, data_type: DataType) -> None:
        self._data_type = data_type
        self._id = data_type.id_column or ""
        own = data_type.without_added().table_schema  # older files lack what enrichers add
        self._words = [f.name for f in own if pa.types.is_dictionary(f.type)]

    def matching(self, path: str, ids: Any, bound: Bound) -> Matching | None:
        """Rows that count and have one of these ids; None where there are none."""
        with self._open(path) as file:
            found = pc.index_in(file.read([self._id], use_threads=False).column(0), value_set=ids)
            at = np.flatnonzero(found.is_valid().to_numpy())
            if not len(at):
                return None
            rows = file.read([*WHO, *PLACE], use_threads=False).take(at)
        codes = found.take(pa.array(at, pa.int64())).to_numpy().astype(np.int64)
        mask = _counting(rows, bound)
        streams, stream = _streams(rows)
        return Matching(codes[mask], streams, stream[mask], longs(rows, "log_offset")[mask])

    def batch(self, path: str, bound: Bound, facts: ChannelFacts) -> IdentityBatch | None:
        """All rows that count, in log order; None where there are none."""
        order = self._data_type.order
        with self._open(path) as file:
            rows = file.read([*WHO, *PLACE, self._id, order], use_threads=False)
        at = np.flatnonzero(_counting(rows, bound))
        at = at[np.argsort(longs(rows, "log_offset")[at], kind="stable")]
        if not len(at):
            return None
        rows = rows.take(at)
        streams, stream = _streams(rows)
        return IdentityBatch(
            data_type=self._data_type.name, partition=bound.partition, kind=facts.ids, streams=tuple(streams),
            stream=stream.astype(np.int32), ids=ids_of(rows.column(self._id)), order_ms=longs(rows, order),
            event_time=facts.event_time, offsets=longs(rows, "log_offset"), timestamps_us=longs(rows, "log_timestamp"),
        )  # fmt: skip

    def spans(self, path: str, bound: Bound, *, by_id: bool) -> dict[Stream, tuple[int, int]]:
        """Per stream the least and greatest id of those that are numbers, or event time; none: (2**63 - 1, -1)."""
        key = self._id if by_id else self._data_type.order
        with self._open(path) as file:
            rows = file.read([*WHO, *PLACE, key], use_threads=False)
        rows = rows.filter(pa.array(_counting(rows, bound)))
        streams, stream = _streams(rows)
        values = numbers_of(rows.column(key)) if by_id else longs(rows, key)
        least, most = np.full(len(streams), MOST, np.int64), np.full(len(streams), -1, np.int64)
        np.minimum.at(least, stream, np.where(values < 0, MOST, values) if by_id else values)
        np.maximum.at(most, stream, values)
        return dict(zip(streams, zip(least.tolist(), most.tolist(), strict=True), strict=True))

    def _open(self, path: str) -> pq.ParquetFile:
        return pq.ParquetFile(path, read_dictionary=self._words)


def ids_of(column: Any) -> npt.NDArray[np.int64] | npt.NDArray[np.object_]:
    """Ids as int64 where every one is a canonical decimal number below 2**63, else as Python strings."""
    numbers = numbers_of(column)
    if (numbers >= 0).all():
        return numbers
    texts: npt.NDArray[np.object_] = column.to_numpy(zero_copy_only=False)
    return texts


def numbers_of(column: Any) -> Longs:
    """Ids as numbers, -1 where one is not the canonical text of a number below 2**63."""
    canonical = pc.match_substring_regex(column, CANONICAL)
    if pc.all(canonical, min_count=0).as_py() and int(pc.max(pc.binary_length(column)).as_py() or 0) <= 18:
        plain: Longs = column.cast(pa.int64()).to_numpy()
        return plain
    found = [
        int(t) if ok and int(t) < 1 << 63 else -1
        for t, ok in zip(column.to_pylist(), canonical.to_pylist(), strict=True)
    ]
    return np.array(found, np.int64)


def _counting(rows: pa.Table, bound: Bound) -> Mask:
    topic, number = bound.partition
    topics, codes = words(rows, "topic")
    mine = np.array([t == topic for t in topics], bool)
    stamps = longs(rows, "log_timestamp")
    mask: Mask = mine[codes] if len(mine) else np.zeros(rows.num_rows, bool)
    mask = mask & (longs(rows, "log_partition") == number) & (longs(rows, "log_offset") < bound.end)
    return mask & (stamps >= bound.since_us) & (stamps < bound.before_us)


def _streams(rows: pa.Table) -> tuple[list[Stream], Longs]:
    """The distinct streams of rows, and the index of each row's."""
    symbols, symbol = words(rows, "symbol")
    exchanges, exchange = words(rows, "exchange")
    epochs, epoch = np.unique(longs(rows, "id_epoch"), return_inverse=True)
    packed = (epoch.astype(np.int64) * len(exchanges) + exchange) * max(1, len(symbols)) + symbol
    distinct, stream = np.unique(packed, return_inverse=True)
    streams = []
    for code in distinct.tolist():
        rest, s = divmod(code, len(symbols))
        e, x = divmod(rest, len(exchanges))
        streams.append(Stream(exchanges[x], symbols[s], int(epochs[e])))
    return streams, stream.astype(np.int64)
