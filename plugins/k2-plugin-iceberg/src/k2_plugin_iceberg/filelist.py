"""The data files of a snapshot as columns, so that planning a query costs a few numpy comparisons.

Everything here comes from manifests and is a bound: a file whose entry tells less (another engine wrote it) gets the
widest bounds that its partition allows, so it is read rather than missed.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pyiceberg.transforms import BucketTransform

from k2_plugin_iceberg.files import local
from k2core.plugin import PARTITIONS, DataType

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema

Longs = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]
LEAST, MOST = -(1 << 63), (1 << 63) - 1
LAST_TEXT = "\U0010ffff" * 8
DAY_MS = 86_400_000
UNKNOWN = -1


@dataclass(frozen=True, slots=True, eq=False)
class FileList:
    """Facts of n data files, one array each; `…_lo` and `…_hi` are least and greatest values, or wider.

    Args:
        path: Local path.
        date: Days since 1970 of `exchange_date`, UNKNOWN where the file lies in another partitioning.
        bucket: Bucket of its symbols, or UNKNOWN.
        rows: Rows in it.
        size: Bytes of it.
        recorded: What its manifest's header tells of its streams, or None.
    """

    path: Texts
    date: Longs
    bucket: Longs
    rows: Longs
    size: Longs
    ms_lo: Longs
    ms_hi: Longs
    offset_lo: Longs
    offset_hi: Longs
    appended_lo: Longs
    appended_hi: Longs
    partition_lo: Longs
    partition_hi: Longs
    symbol_lo: Texts
    symbol_hi: Texts
    exchange_lo: Texts
    exchange_hi: Texts
    topic_lo: Texts
    topic_hi: Texts
    recorded: Texts

    def __len__(self) -> int:
        return len(self.path)

    def take(self, which: npt.NDArray[Any]) -> FileList:
        """Some of the files, by mask or index."""
        return FileList(*(getattr(self, name)[which] for name in NAMES))

    @staticmethod
    def join(parts: Sequence[FileList]) -> FileList:
        """Several lists as one."""
        if not parts:
            return listed([])
        return FileList(*(np.concatenate([getattr(p, name) for p in parts]) for name in NAMES))


NAMES = tuple(field.name for field in fields(FileList))
_TEXTS = frozenset(field.name for field in fields(FileList) if field.type == "Texts")


def listed(rows: Sequence[tuple[Any, ...]]) -> FileList:
    """Rows (values in the order of the fields) as columns."""
    columns: list[npt.NDArray[Any]] = []
    for at, name in enumerate(NAMES):
        if name in _TEXTS:
            column = np.empty(len(rows), object)
            column[:] = [row[at] for row in rows]
        else:
            column = np.array([row[at] for row in rows], np.int64)
        columns.append(column)
    return FileList(*columns)


class Reading:
    """How to read manifest entries of one table: field ids of the columns, places of the partition fields.

    Args:
        data_type: Whose rows.
        schema: The table's.
        specs: Every partition spec that the table ever had, by id.
    """

    def __init__(self, data_type: DataType, schema: Schema, specs: Mapping[int, PartitionSpec]) -> None:
        ids = {field.name: field.field_id for field in schema.fields}
        longs = (data_type.order, "log_offset", "log_timestamp", "log_partition")
        self._order, *self._longs = (ids.get(name, UNKNOWN) for name in longs)
        self._texts = [ids.get(name, UNKNOWN) for name in ("symbol", "exchange", "topic")]
        self._places = {number: _places(spec, ids) for number, spec in specs.items()}

    def read(self, entries: Iterable[DataFile], spec_id: int, recorded: Mapping[str, Any]) -> FileList:
        """The files that entries name.

        Args:
            entries: Of one manifest.
            spec_id: Its partition spec.
            recorded: By file name, what the manifest's header tells.
        """
        date_at, bucket_at = self._places.get(spec_id, (None, None))
        return listed([
            (*self._row(file, date_at, bucket_at), recorded.get(file.file_path.rpartition("/")[2])) for file in entries
        ])  # fmt: skip

    def _row(self, file: DataFile, date_at: int | None, bucket_at: int | None) -> tuple[Any, ...]:
        low, high = file.lower_bounds or {}, file.upper_bounds or {}
        date = _known(file.partition[date_at] if date_at is not None else None)
        bucket = _known(file.partition[bucket_at] if bucket_at is not None else None)
        day = (date * DAY_MS, (date + 1) * DAY_MS - 1) if date != UNKNOWN else (LEAST, MOST)
        order = (_long(low.get(self._order), day[0]), _long(high.get(self._order), day[1]))
        pairs = [(_long(low.get(i), LEAST), _long(high.get(i), MOST)) for i in self._longs]
        (offset, appended, partition) = pairs
        texts = [t for i in self._texts for t in (_text(low.get(i), ""), _text(high.get(i), LAST_TEXT))]
        path = str(local(file.file_path))
        return (
            path, date, bucket, file.record_count, file.file_size_in_bytes, *order, *offset, *appended,
            *partition, *texts,
        )  # fmt: skip


def _places(spec: PartitionSpec, ids: Mapping[str, int]) -> tuple[int | None, int | None]:
    """Where a spec keeps date and bucket, as far as it has them as k2 does."""
    date = bucket = None
    for at, field in enumerate(spec.fields):
        if field.source_id == ids.get("exchange_date") and str(field.transform) == "identity":
            date = at
        transform = field.transform
        if field.source_id == ids.get("symbol") and isinstance(transform, BucketTransform):
            bucket = at if transform.num_buckets == PARTITIONS else None
    return date, bucket


def _known(value: Any) -> int:
    return UNKNOWN if value is None else int(value)


def _long(bound: bytes | None, default: int) -> int:
    if bound is None or len(bound) not in (4, 8):
        return default
    return int(struct.unpack("<q" if len(bound) == 8 else "<i", bound)[0])


def _text(bound: bytes | None, default: str) -> str:
    """A bound as text; one that another engine cut within a character says nothing."""
    if bound is None:
        return default
    try:
        return sys.intern(bound.decode())
    except UnicodeDecodeError:
        return default
