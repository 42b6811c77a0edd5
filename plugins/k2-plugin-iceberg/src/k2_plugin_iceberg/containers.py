r"""Avro containers of manifests and manifest lists, with everything that never changes computed once.

pyiceberg's own writers compile the schema again for every file, which is most of what a small commit costs. The records
are still encoded by pyiceberg's encoders; here are only the container's header and its blocks, one record a block and
uncompressed, so that merging can copy entries without decoding what they say of their files.

    "Obj\x01" · metadata map (schema, codec, Iceberg's keys) · 0 · sync(16) · { count · bytes · record · sync(16) }*

Source: Avro 1.12 specification, "Object Container Files"; Iceberg table spec, "Manifests" and "Manifest Lists".
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pyiceberg.avro.encoder import BinaryEncoder
from pyiceberg.avro.resolver import resolve_writer
from pyiceberg.manifest import (
    DEFAULT_READ_VERSION,
    MANIFEST_LIST_FILE_SCHEMAS,
    ManifestFile,
    data_file_with_partition,
    manifest_entry_schema_with_data_file,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.utils.schema_conversion import AvroSchemaConversion

MAGIC = b"Obj\x01"


class ForeignContainerError(Exception):
    """A container that is not laid out as written here; read it with pyiceberg."""


def long_bytes(value: int) -> bytes:
    """An Avro long: zigzag, then seven bits a byte."""
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value & ~0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """An Avro long at `at`, and where the next value starts."""
    shift = value = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7


def _text(value: bytes) -> bytes:
    return long_bytes(len(value)) + value


class Records:
    """Encodes records of one schema, and frames them into a container."""

    def __init__(self, file_schema: Schema, record_schema: Schema, name: str) -> None:
        self._writer = resolve_writer(record_schema=record_schema, file_schema=file_schema)
        self._schema = json.dumps(AvroSchemaConversion().iceberg_to_avro(file_schema, schema_name=name))
        self.sync = hashlib.md5(self._schema.encode(), usedforsecurity=False).digest()

    def encode(self, record: Any) -> bytes:
        """One record's datum."""
        out = io.BytesIO()
        self._writer.write(BinaryEncoder(out), record)
        return out.getvalue()

    def block(self, record: bytes) -> bytes:
        """A datum as a block of its own."""
        return b"".join([b"\x02", long_bytes(len(record)), record, self.sync])

    def container(self, meta: Mapping[str, str], blocks: Iterable[bytes]) -> bytes:
        """A whole file: header, then blocks."""
        pairs = {**meta, "avro.schema": self._schema, "avro.codec": "null"}
        parts = [MAGIC, long_bytes(len(pairs))]
        parts += [_text(k.encode()) + _text(v.encode()) for k, v in pairs.items()]
        parts += [b"\x00", self.sync]
        return b"".join([*parts, *blocks])


def manifest_records(spec: PartitionSpec, schema: Schema) -> Records:
    """Encoder of version 2 manifests of a partition spec."""

    def entry_schema(version: Any) -> Schema:
        data_file = data_file_with_partition(format_version=version, partition_type=spec.partition_type(schema))
        return manifest_entry_schema_with_data_file(format_version=version, data_file=data_file)

    return Records(entry_schema(2), entry_schema(DEFAULT_READ_VERSION), "manifest_entry")


def list_records() -> Records:
    """Encoder of version 2 manifest lists."""
    return Records(MANIFEST_LIST_FILE_SCHEMAS[2], MANIFEST_LIST_FILE_SCHEMAS[DEFAULT_READ_VERSION], "manifest_file")


def manifest_meta(spec: PartitionSpec, schema: Schema) -> dict[str, str]:
    """Metadata that Iceberg wants in a manifest's header."""
    fields = json.dumps([json.loads(field.model_dump_json()) for field in spec.fields])
    return {
        "schema": schema.model_dump_json(),
        "schema-id": str(schema.schema_id),
        "partition-spec": fields,
        "partition-spec-id": str(spec.spec_id),
        "format-version": "2",
        "content": "data",
    }


def read_meta(data: bytes) -> dict[str, bytes]:
    """The metadata in a container's header.

    Raises:
        ForeignContainerError: It is no container.
    """
    if not data.startswith(MAGIC):
        raise ForeignContainerError("no container")
    found: dict[str, bytes] = {}
    count, at = read_long(data, len(MAGIC))
    while count:
        if count < 0:  # the size of the block follows
            count, (_, at) = -count, read_long(data, at)
        for _ in range(count):
            size, at = read_long(data, at)
            name, at = data[at : at + size].decode(), at + size
            size, at = read_long(data, at)
            found[name], at = data[at : at + size], at + size
        count, at = read_long(data, at)
    return found


def raw_blocks(data: bytes, sync: bytes) -> bytes:
    """All blocks of a container that was written here, as one piece.

    Raises:
        ForeignContainerError: It was not.
    """
    at = data.find(b"\x00" + sync) + 1 + len(sync)
    if at <= len(sync) or not data.endswith(sync):
        raise ForeignContainerError("another sync marker")
    return data[at:]


def raw_entries(data: bytes, sync: bytes) -> Iterator[bytes]:
    """The records in the blocks of a container that was written here.

    Raises:
        ForeignContainerError: It was not.
    """
    at = 0
    while at < len(data):
        count, at = read_long(data, at)
        size, at = read_long(data, at)
        if count != 1 or data[at + size : at + size + 16] != sync:
            raise ForeignContainerError("several records in a block")
        yield data[at : at + size]
        at += size + 16


def existing_entry(entry: bytes, manifest: ManifestFile) -> bytes | None:
    """An entry carried over into a merged manifest: status EXISTING, what it inherited written out.

    None where it is a DELETED one: only the snapshot that deleted the file tells of it.
    """
    status, at = read_long(entry, 0)
    values: list[int | None] = []
    for _ in range(3):  # snapshot_id, sequence_number, file_sequence_number: unions of null and long
        branch, at = read_long(entry, at)
        value = None
        if branch == 1:
            value, at = read_long(entry, at)
        values.append(value)
    if status == 2:
        return None
    inherited = (manifest.added_snapshot_id, manifest.sequence_number, manifest.sequence_number)
    explicit = [
        long_bytes(1) + long_bytes(v if v is not None else i or 0) for v, i in zip(values, inherited, strict=True)
    ]
    return b"".join([long_bytes(0), *explicit, entry[at:]])
