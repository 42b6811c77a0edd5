"""What every data file holds, by stream: least and greatest id and event time, written down where its manifest is.

A look-up of old ids, and the start of a writer or a tail, need these of every file of a bucket; to read them from the
files' id columns costs a millisecond a file. They stand in the header of the manifest, under a key of ours that other
engines pass over:

    k2.spans    base64 of zlib of {"v": 1, "streams": [[topic, partition, exchange, symbol, id epoch], …],
                "files": {file name: [stream, least id, greatest - least, least time, greatest - least, …]},
                "crowded": {file name: [stream, …]}}      files of more than 64 streams: who, without spans

Files without an entry (of other engines, or older than this) are read, once a process.
"""

from __future__ import annotations

import base64
import json
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from k2_plugin_iceberg.arrays import longs, words
from k2_plugin_iceberg.containers import ForeignContainerError, read_meta
from k2_plugin_iceberg.filelist import MOST
from k2_plugin_iceberg.identities import numbers_of
from k2core.plugin import DataType, Partition, Stream

KEY = "k2.spans"
VERSION = 1
MOST_STREAMS = 64
Span = tuple[int, int]
Where = tuple[Partition, Stream]
_FIELDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """What is written down of one file.

    Args:
        streams: Of all files of its manifest.
        numbers: As in `files`, five a stream; None where it has too many streams.
        crowd: Streams of a file that has too many.
    """

    streams: tuple[Where, ...]
    numbers: array[int] | None
    crowd: tuple[int, ...] = ()

    def spans(self, partition: Partition, *, by_id: bool) -> dict[Stream, Span] | None:
        """Per stream of a partition the least and greatest id (none: (2**63 - 1, -1)), or event time."""
        if self.numbers is None:
            return None
        found, first = {}, 1 if by_id else 3
        for at in range(0, len(self.numbers), _FIELDS):
            place, stream = self.streams[self.numbers[at]]
            if place == partition:
                low = self.numbers[at + first]
                found[stream] = (low, low + self.numbers[at + first + 1])
        return found

    def id_spans(self) -> Iterator[tuple[int, int, int]]:
        """Per stream its number, least and greatest id."""
        numbers = self.numbers or ()
        for at in range(0, len(numbers), _FIELDS):
            low = numbers[at + 1]
            yield numbers[at], low, low + numbers[at + 2]

    def who(self) -> list[Where]:
        """The file's streams."""
        return [self.streams[n] for n in (self.crowd if self.numbers is None else self.numbers[::_FIELDS])]


def record(rows: pa.Table, slices: Sequence[tuple[int, int]], data_type: DataType) -> list[Recorded]:
    """What to write down of files: slices of a table that is sorted by symbol."""
    columns = [_coded(rows, name) for name in ("topic", "log_partition", "exchange", "symbol", "id_epoch")]
    fresh = np.logical_or.reduce([codes[1:] != codes[:-1] for _, codes in columns])
    starts = np.union1d(np.flatnonzero(fresh) + 1, [a for a, _ in slices])  # runs of one file and stream
    keys, streams = _keyed([(names, codes[starts]) for names, codes in columns])
    keys = keys + (np.searchsorted([a for a, _ in slices], starts, "right") - 1) * len(streams)
    order = np.argsort(keys, kind="stable")
    first = np.concatenate([[0], np.flatnonzero(np.diff(keys[order])) + 1])
    ids, times = _ids(rows, data_type), longs(rows, data_type.order)
    told: list[list[int]] = []
    for low, high in ((np.where(ids < 0, MOST, ids), ids), (times, times)):
        least = np.minimum.reduceat(np.minimum.reduceat(low, starts)[order], first)
        most = np.maximum.reduceat(np.maximum.reduceat(high, starts)[order], first)
        told += [least.tolist(), (most - least).tolist()]
    found: list[list[int]] = [[] for _ in slices]
    for at, key in enumerate(keys[order][first].tolist()):
        file, stream = divmod(key, len(streams))
        found[file] += [stream, *(column[at] for column in told)]
    return [_recorded(streams, numbers) for numbers in found]


def _recorded(streams: tuple[Where, ...], numbers: list[int]) -> Recorded:
    if len(numbers) > _FIELDS * MOST_STREAMS:
        return Recorded(streams, None, tuple(numbers[::_FIELDS]))
    return Recorded(streams, array("q", numbers))


def _coded(rows: pa.Table, name: str) -> tuple[list[Any], npt.NDArray[np.int64]]:
    """A column as distinct values and the code of each row; numbers are their own codes."""
    if pa.types.is_integer(rows.schema.field(name).type):
        return [], longs(rows, name)
    return words(rows, name)


def _keyed(columns: Sequence[tuple[list[Any], Any]]) -> tuple[npt.NDArray[np.int64], tuple[Where, ...]]:
    """The number of each row's stream, and the streams."""
    packed = np.zeros(len(columns[0][1]), np.int64)
    for _, codes in columns:
        packed = packed * (int(codes.max()) + 1) + codes
    _, first, keys = np.unique(packed, return_index=True, return_inverse=True)
    found: list[Where] = []
    for at in first.tolist():
        parts: list[Any] = [names[codes[at]] if names else int(codes[at]) for names, codes in columns]
        topic, partition, exchange, symbol, epoch = parts
        found.append(((topic, partition), Stream(exchange, symbol, epoch)))
    return keys.reshape(-1).astype(np.int64), tuple(found)


def _ids(rows: pa.Table, data_type: DataType) -> npt.NDArray[np.int64]:
    if data_type.id_column is None:
        return np.full(rows.num_rows, -1, np.int64)
    ids: Any = rows.column(data_type.id_column)
    return numbers_of(pc.fill_null(ids, "") if ids.null_count else ids)


def pack(files: Mapping[str, Recorded]) -> str:
    """What is written down of a manifest's files, as text."""
    index: dict[Where, int] = {}
    told: dict[str, dict[str, list[int]]] = {"files": {}, "crowded": {}}
    for name, file in files.items():
        own = [index.setdefault(where, len(index)) for where in file.who()]
        if file.numbers is None:
            told["crowded"][name] = own
        else:
            numbers = file.numbers.tolist()
            numbers[::_FIELDS] = own
            told["files"][name] = numbers
    streams = [(t, p, s.exchange, s.symbol, s.id_epoch) for (t, p), s in index]
    text = json.dumps({"v": VERSION, "streams": streams, **told}, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 1)).decode()


def unpack(text: bytes | None) -> dict[str, Recorded]:
    """The reverse of `pack`; nothing where nothing, or what a later version wrote, stands there."""
    if text is None:
        return {}
    told = json.loads(zlib.decompress(base64.b64decode(text)))
    if told["v"] != VERSION:
        return {}
    streams = tuple(((t, p), Stream(x, s, e)) for t, p, x, s, e in told["streams"])
    found = {name: Recorded(streams, array("q", numbers)) for name, numbers in told["files"].items()}
    return found | {name: Recorded(streams, None, tuple(who)) for name, who in told["crowded"].items()}


def recorded_in(manifest: bytes) -> dict[str, Recorded]:
    """What a manifest says of its files' streams, by file name."""
    try:
        return unpack(read_meta(manifest).get(KEY))
    except ForeignContainerError:
        return {}


def name_of(path: str) -> str:
    """A file's name, which is unique."""
    return path.rpartition("/")[2]


def names_in(files: Iterable[Recorded | None]) -> frozenset[tuple[str, str]] | None:
    """Every (symbol, exchange) of some files; None where one of them does not tell."""
    found: dict[int, tuple[Where, ...]] = {}
    for file in files:
        if file is None:
            return None
        found[id(file.streams)] = file.streams
    return frozenset((s.symbol, s.exchange) for streams in found.values() for _, s in streams)
