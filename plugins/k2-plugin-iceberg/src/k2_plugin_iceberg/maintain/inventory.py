"""What files a table consists of: read from manifests, each manifest once (they never change)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyiceberg.manifest import ManifestContent, ManifestEntry, ManifestFile

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

    from k2_plugin_iceberg.manifests import Manifests


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A data file of a snapshot.

    Args:
        path: Its location.
        date: Days since 1970 of `exchange_date`.
        bucket: Bucket of the symbols in it.
        rows: Rows in it.
        size: Bytes of it.
        first_us: Least append time in it, Unix µs; None where its entry does not tell.
        last_us: Greatest append time in it.
        sequence: Sequence number of the commit that added it.
    """

    path: str
    date: int
    bucket: int
    rows: int
    size: int
    first_us: int | None
    last_us: int | None
    sequence: int


class Inventory:
    """Files by manifest, and what all living snapshots reach. One thread at a time."""

    def __init__(self, manifests: Manifests, io: FileIO, schema: Schema) -> None:
        self._manifests, self._io = manifests, io
        self._time_id = schema.find_field("log_timestamp").field_id
        self._files: dict[str, tuple[LiveFile, ...]] = {}
        self._lists: dict[str, tuple[ManifestFile, ...]] = {}

    def of(self, manifest: ManifestFile) -> tuple[LiveFile, ...]:
        """The live files that a manifest names."""
        found = self._files.get(manifest.manifest_path)
        if found is None:
            found = tuple(self._live(e) for e in self._manifests.entries(manifest))
            self._files[manifest.manifest_path] = found
        return found

    def head(self, metadata: TableMetadata) -> tuple[LiveFile, ...]:
        """The data files of the newest snapshot."""
        manifests = self._manifests.of(metadata.current_snapshot())
        return tuple(f for m in manifests if m.content == ManifestContent.DATA for f in self.of(m))

    def has_deletes(self, metadata: TableMetadata) -> bool:
        """Whether another engine keeps deletes apart from rows in the newest snapshot."""
        manifests = self._manifests.of(metadata.current_snapshot())
        return any(m.content == ManifestContent.DELETES for m in manifests)

    def reachable(self, metadata: TableMetadata) -> set[str]:
        """Locations of every manifest list, manifest and data file that a living snapshot needs."""
        lists = {str(s.manifest_list): self._listed(s) for s in metadata.snapshots}
        manifests = {m.manifest_path: m for ms in lists.values() for m in ms}
        files = {f.path for m in manifests.values() for f in self.of(m)}
        self._lists = lists
        self._files = {p: fs for p, fs in self._files.items() if p in manifests}
        return {*lists, *manifests, *files}

    def _listed(self, snapshot: Snapshot) -> tuple[ManifestFile, ...]:
        found = self._lists.get(str(snapshot.manifest_list))
        return found if found is not None else tuple(self._manifests.of(snapshot))

    def _live(self, entry: ManifestEntry) -> LiveFile:
        file = entry.data_file
        return LiveFile(
            path=file.file_path,
            date=file.partition[0],
            bucket=file.partition[1],
            rows=file.record_count,
            size=file.file_size_in_bytes,
            first_us=_long((file.lower_bounds or {}).get(self._time_id)),
            last_us=_long((file.upper_bounds or {}).get(self._time_id)),
            sequence=entry.sequence_number or 0,
        )


def _long(bound: bytes | None) -> int | None:
    return int(struct.unpack("<q", bound)[0]) if bound is not None else None
