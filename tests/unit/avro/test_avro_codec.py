"""The vectorised codec equals fastavro byte for byte, both ways, and survives any bytes."""

from __future__ import annotations

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k2core.avro import reference, varint
from k2core.avro.codec import Codec
from k2core.errors import SchemaError
from k2core.records.builtin import BUILTIN_DATA_TYPES, DEAD_LETTERS, QUOTES, TRADES
from k2core.records.data_type import Column, DataType

LONGS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, -1, 2**62, -(2**63), 2**63 - 1, 2**55, 2**56 - 1])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = {
    "long": LONGS,
    "double": st.floats(allow_nan=False),
    "string": TEXTS | st.sampled_from(["BTCUSDT", "binance", "", "x" * 300]),
    "bytes": st.binary(max_size=40),
}


def value(column: Column) -> st.SearchStrategy[object]:
    return VALUES[column.kind] | st.none() if column.nullable else VALUES[column.kind]


def records(kind: DataType, version: int) -> st.SearchStrategy[list[dict[str, object]]]:
    row = st.fixed_dictionaries({c.name: value(c) for c in kind.columns if c.since <= version})
    return st.lists(row, min_size=1, max_size=12)


def parsed(kind: DataType, version: int) -> object:
    return fastavro.parse_schema(kind.avro_schema(version))


def batch_of(kind: DataType, rows: list[dict[str, object]]) -> pa.RecordBatch:
    arrays = []
    for field in kind.arrow_schema:
        plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        array = pa.array([r.get(field.name) for r in rows], plain)
        arrays.append(array.dictionary_encode() if pa.types.is_dictionary(field.type) else array)
    return pa.RecordBatch.from_arrays(arrays, schema=kind.arrow_schema)


@pytest.mark.parametrize("kind", BUILTIN_DATA_TYPES, ids=lambda k: k.name)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_encoding_equals_fastavro_byte_for_byte(kind: DataType, data: st.DataObject) -> None:
    batch = batch_of(kind, data.draw(records(kind, kind.versions)))
    sizes, got = Codec(kind).encode(batch)
    want_sizes, want = reference.encode_each(parsed(kind, kind.versions), batch)
    assert got == want
    assert sizes.tolist() == want_sizes.tolist()


@pytest.mark.parametrize(
    ("kind", "version"), [(k, v) for k in BUILTIN_DATA_TYPES for v in range(1, k.versions + 1)], ids=str
)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_version_decodes_as_fastavro_projects_it(kind: DataType, version: int, data: st.DataObject) -> None:
    rows = data.draw(records(kind, version))
    writer, reader = parsed(kind, version), parsed(kind, kind.versions)
    encoded = batch_of(kind, rows).select([c.name for c in kind.columns if c.since <= version])
    sizes, raw = reference.encode_each(writer, encoded)
    got = Codec(kind).decode(version, sizes, raw)
    assert not got.bad
    assert got.batch.schema == kind.arrow_schema
    assert got.batch.to_pylist() == reference.decode_each(writer, reader, sizes, raw)


@settings(max_examples=200, deadline=None)
@given(junk=st.lists(st.binary(max_size=90), max_size=6), kind=st.sampled_from(BUILTIN_DATA_TYPES))
def test_junk_is_named_and_never_raises(junk: list[bytes], kind: DataType) -> None:
    sizes = np.array([len(j) for j in junk], np.uint32)
    got = Codec(kind).decode(kind.versions, sizes, b"".join(junk))
    assert len(got.batch) + len(got.bad) == len(junk)
    got.batch.validate(full=True)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_damaged_datum_costs_its_neighbours_nothing(data: st.DataObject) -> None:
    rows = data.draw(records(TRADES, 3).filter(lambda r: len(r) >= 3))
    codec = Codec(TRADES)
    sizes, raw = codec.encode(batch_of(TRADES, rows))
    first = int(sizes[0])
    cut = data.draw(st.integers(0, int(sizes[1]) - 1))
    broken = raw[: first + cut] + raw[first + int(sizes[1]) :]
    shorter = sizes.copy()
    shorter[1] = cut
    got = codec.decode(3, shorter, broken)
    assert [index for index, _ in got.bad] == [1]
    assert got.batch.to_pylist() == [r for i, r in enumerate(batch_of(TRADES, rows).to_pylist()) if i != 1]


def test_bytes_left_over_and_bad_text_are_named() -> None:
    codec = Codec(DEAD_LETTERS)
    row = {"symbol": "", "exchange": "x", "exchange_timestamp_ms": 1, "reason": "r", "detail": "dd", "stage": "s"}
    sizes, raw = codec.encode(batch_of(DEAD_LETTERS, [row | {"origin": "1/2", "payload": b"\xff"}]))
    assert codec.decode(1, sizes + np.uint32(1), raw + b"!").bad[0][1] == "has bytes left over behind its last column"
    assert "is not UTF-8 at column detail" in codec.decode(1, sizes, raw.replace(b"dd", b"\xff\xfe")).bad[0][1]


@given(values=st.lists(LONGS, min_size=1, max_size=50))
def test_varints_round_trip(values: list[int]) -> None:
    longs = np.array(values, np.int64)
    width = varint.width_of(longs)
    body, mask = np.zeros((len(longs), width), np.uint8), np.zeros((len(longs), width), bool)
    varint.write(longs, body, mask)
    joined = np.concatenate([body[mask], np.zeros(varint.PADDING, np.uint8)])
    lengths = mask.sum(axis=1)
    got, read = varint.read(joined, np.cumsum(lengths) - lengths)
    assert got.tolist() == values
    assert read.tolist() == lengths.tolist()


def test_batches_larger_than_one_part_are_joined() -> None:
    rows = [{"symbol": f"S{i % 7}", "exchange": "x", "exchange_timestamp_ms": i, "bid_price": 1.0, "bid_quantity": 2.0,
             "ask_price": 3.0, "ask_quantity": 4.0, "update_id": str(i)} for i in range(40_000)]  # fmt: skip
    batch = batch_of(QUOTES, rows)
    sizes, raw = Codec(QUOTES).encode(batch)
    assert Codec(QUOTES).decode(1, sizes, raw).batch.column("update_id").to_pylist() == [str(i) for i in range(40_000)]


def test_what_does_not_fit_is_refused_by_name() -> None:
    codec, good = Codec(TRADES), batch_of(TRADES, [{"symbol": "S", "exchange": "x", "exchange_timestamp_ms": 1, "price": 1.0,
                                                    "quantity": 1.0}])  # fmt: skip
    with pytest.raises(SchemaError, match="price is missing"):
        codec.encode(good.drop_columns(["price"]))
    with pytest.raises(SchemaError, match="no columns"):
        codec.encode(good.append_column("colour", pa.array(["red"])))
    with pytest.raises(SchemaError, match="price is string, not double"):
        codec.encode(good.set_column(3, "price", pa.array(["1"])))
    with pytest.raises(SchemaError, match="price may not be null"):
        codec.encode(good.set_column(3, "price", pa.array([None], pa.float64())))
    with pytest.raises(SchemaError, match="not in the schema's lineage"):
        codec.decode(4, np.zeros(0, np.uint32), b"")
