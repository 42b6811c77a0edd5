"""Bare loop, log → table: polars on one Avro container, interval dedup, one sort, a Parquet file a bucket, pyiceberg."""

from __future__ import annotations

import datetime as dt
import io
import itertools
import json
import os
import pathlib
import shutil
import uuid
from typing import Any

import fastavro
import mmh3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FIELDS = ["symbol", "exchange", "exchange_timestamp_ms", "price", "quantity", "side", "trade_id", "sequence_num",
          "exchange_timestamp_us", "received_timestamp_us", "source"]  # fmt: skip
TYPES = {"symbol": "string", "exchange": "string", "exchange_timestamp_ms": "long", "price": "double",
         "quantity": "double"}  # fmt: skip
LONGS = ("sequence_num", "exchange_timestamp_us", "received_timestamp_us")
SCHEMA = fastavro.parse_schema({"type": "record", "name": "Trade", "fields": [
    {"name": f, "type": TYPES.get(f) or ["null", "long" if f in LONGS else "string"]} for f in FIELDS]})  # fmt: skip
DELTA = dict.fromkeys(("exchange_timestamp_ms", *LONGS, "log_offset"), "DELTA_BINARY_PACKED")


def container() -> tuple[bytes, bytes]:
    out, sync = io.BytesIO(), b"barebarebarebare"
    fastavro.writer(out, SCHEMA, [], sync_marker=sync)
    return out.getvalue(), sync


HEADER, SYNC = container()


def varint(value: int) -> bytes:
    value, out = value << 1, bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode(blocks: list[tuple[int, int, int, bytes]]) -> pa.Table:
    import polars as pl

    parts = [HEADER]
    for _, _, rows, data in blocks:
        parts += [varint(rows), varint(len(data)), data, SYNC]
    table = pl.read_avro(io.BytesIO(b"".join(parts))).to_arrow(compat_level=pl.CompatLevel.oldest())
    offsets = np.concatenate([np.arange(base, base + rows) for _, base, rows, _ in blocks])
    return table.append_column("log_offset", pa.array(offsets))


class Highs:
    """Dedup of contiguous ids: a high-water mark a symbol; anything but the next run is an error here."""

    def __init__(self) -> None:
        self.high: dict[str, int] = {}

    def claim(self, symbol: Any, ids: np.ndarray) -> None:
        codes = symbol.indices.to_numpy()
        order = np.lexsort((ids, codes))
        c, v = codes[order], ids[order]
        edges = np.append(np.flatnonzero(np.diff(c, prepend=-1)), len(c)).tolist()
        names = symbol.dictionary.to_pylist()
        for lo, hi in itertools.pairwise(edges):
            name = names[c[lo]]
            if v[lo] != self.high.get(name, int(v[lo]) - 1) + 1 or v[hi - 1] - v[lo] != hi - lo - 1:
                raise ValueError("the bare loop knows contiguous runs only")
            self.high[name] = int(v[hi - 1])


class BareTable:
    """A pyiceberg table by day and bucket; files written by pyarrow, committed one append at a time."""

    def __init__(self, root: pathlib.Path) -> None:
        from pyiceberg.catalog.sql import SqlCatalog
        from pyiceberg.partitioning import PartitionField, PartitionSpec
        from pyiceberg.schema import Schema
        from pyiceberg.transforms import BucketTransform, IdentityTransform
        from pyiceberg.types import DateType, DoubleType, LongType, NestedField, StringType

        shutil.rmtree(root, ignore_errors=True)
        (root / "data").mkdir(parents=True)
        kinds = {"double": DoubleType(), "string": StringType(), "long": LongType()}
        named = [(f, kinds[TYPES.get(f) or ("long" if f in LONGS else "string")]) for f in FIELDS]
        named += [("log_offset", LongType()), ("exchange_date", DateType())]
        catalog = SqlCatalog("bare", uri=f"sqlite:///{root}/catalog.db", warehouse=f"file://{root}")
        catalog.create_namespace("bare")
        spec = PartitionSpec(PartitionField(13, 1000, IdentityTransform(), "exchange_date"),
                             PartitionField(1, 1001, BucketTransform(16), "bucket"))  # fmt: skip
        self.table = catalog.create_table(
            "bare.trades", Schema(*[NestedField(i, n, t) for i, (n, t) in enumerate(named, 1)]), partition_spec=spec,
            properties={"write.metadata.delete-after-commit.enabled": "true"})  # fmt: skip
        self.root, self.commits, self.bucket = root, 0, {}  # type: ignore[var-annotated]
        self.files: list[tuple[int, int, int, str]] = []

    def write(self, rows: pa.Table) -> list[tuple[int, int, str, Any]]:
        from pyiceberg.io.pyarrow import schema_to_pyarrow

        symbol = rows["symbol"].combine_chunks().dictionary_encode()
        names = symbol.dictionary.to_pylist()
        buckets = np.array([self.part_of(n) for n in names])
        rank = np.empty(len(names), np.int64)
        rank[np.lexsort((np.array(names), buckets))] = np.arange(len(names))
        codes = symbol.indices.to_numpy()
        times = rows["exchange_timestamp_ms"].to_numpy()
        order = np.lexsort((rows["sequence_num"].to_numpy(), times, rank[codes]))
        day = int(times[0]) // 86_400_000
        schema = schema_to_pyarrow(self.table.schema())
        rows = rows.append_column("exchange_date", pa.array(np.full(len(rows), day, np.int32)).cast(pa.date32()))
        rows, of = rows.take(pa.array(order)).select(schema.names).cast(schema), buckets[codes[order]]
        edges = np.append(np.flatnonzero(np.diff(of, prepend=-1)), len(of)).tolist()
        out = []
        for lo, hi in itertools.pairwise(edges):
            path = self.root / "data" / f"{uuid.uuid4().hex}.parquet"
            with pq.ParquetWriter(path, schema, compression="zstd", compression_level=3, store_schema=False,
                                  use_dictionary=["symbol", "exchange", "side", "source", "price", "quantity"],
                                  column_encoding={**DELTA, "trade_id": "DELTA_BYTE_ARRAY"}) as writer:  # fmt: skip
                writer.write_table(rows.slice(lo, hi - lo), row_group_size=65_536)
            out.append((int(of[lo]), day, str(path), writer.writer.metadata))
            span = times[order[lo:hi]]
            self.files.append((int(of[lo]), int(span.min()), int(span.max()), str(path)))
        return out

    def commit(self, files: list[tuple[int, int, str, Any]], offsets: dict[int, int]) -> None:
        from pyiceberg.io import pyarrow as io_
        from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
        from pyiceberg.typedef import Record

        t = self.table
        plan = io_.compute_statistics_plan(t.schema(), t.metadata.properties)
        paths = io_.parquet_path_to_id_mapping(t.schema())
        with t.transaction() as tx, tx.update_snapshot({"bare": json.dumps(offsets)}).fast_append() as append:
            for bucket, day, path, footer in files:
                stats = io_.data_file_statistics_from_parquet_metadata(footer, plan, paths)
                append.append_data_file(DataFile.from_args(
                    content=DataFileContent.DATA, file_path=path, file_format=FileFormat.PARQUET, spec_id=0,
                    partition=Record(day, bucket), file_size_in_bytes=os.path.getsize(path), sort_order_id=None,
                    equality_ids=None, key_metadata=None, **stats.to_serialized_dict()))  # fmt: skip
        self.commits += 1
        if self.commits % 20 == 0:
            t.maintenance.expire_snapshots().older_than(dt.datetime.now(dt.UTC)).commit()

    def part_of(self, symbol: str) -> int:
        if symbol not in self.bucket:
            self.bucket[symbol] = (mmh3.hash(symbol) & 0x7FFFFFFF) % 16
        return self.bucket[symbol]


def drain(log: Any, table: BareTable, rows: int, a_commit: int) -> None:
    """Log → table until `rows` are in."""
    dedup, after, done, offsets = Highs(), 0, 0, {}
    while done < rows:
        after, blocks = log.read(after, a_commit)
        got = decode(blocks)
        dedup.claim(got["symbol"].combine_chunks().dictionary_encode(), got["sequence_num"].to_numpy())
        for part, base, count, _ in blocks:
            offsets[part] = base + count
        table.commit(table.write(got), offsets)
        done += len(got)
