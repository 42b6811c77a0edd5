"""Manifests and manifest lists of a table: written once, merged in tiers, cached by snapshot.

A manifest holds the entries of one commit (at most one file a bucket and date). As soon as `merge_min` manifests of
one tier stand in a snapshot they become one manifest of the next tier, so that every entry is rewritten a few times in
its life and a commit's cost does not grow with the table. Entries of manifests written here are copied as bytes.
What files hold by stream stands in the header (`recorded.py`) and is carried along wherever an entry goes.
Survived: a crash anywhere (files that no snapshot names are orphans), manifests of foreign engines (read by pyiceberg).
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pyiceberg.manifest import (
    DataFile,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    construct_partition_summaries,
)

from k2_plugin_iceberg.containers import (
    ForeignContainerError,
    existing_entry,
    list_records,
    manifest_meta,
    manifest_records,
    raw_blocks,
    raw_entries,
)
from k2_plugin_iceberg.entries import as_added, as_existing, counts, joined, live_files
from k2_plugin_iceberg.files import local, write_file
from k2_plugin_iceberg.recorded import KEY, Recorded, name_of, pack, recorded_in

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

CACHED_LISTS = 8


class Manifests:
    """Writes and reads one table's manifests. Any number of threads."""

    def __init__(self, io: FileIO, metadata: TableMetadata, merge_min: int) -> None:
        self._io, self._merge_min = io, merge_min
        self.spec, self.schema = metadata.spec(), metadata.schema()
        self._folder = f"{metadata.location}/metadata"
        self._records = manifest_records(self.spec, self.schema)
        self._meta = manifest_meta(self.spec, self.schema)
        self._lists = list_records()
        self._cache: OrderedDict[int, list[ManifestFile]] = OrderedDict()

    def of(self, snapshot: Snapshot | None) -> list[ManifestFile]:
        """The manifests of a snapshot, newest first."""
        if snapshot is None:
            return []
        found = self._cache.get(snapshot.snapshot_id)
        return list(found) if found is not None else list(snapshot.manifests(self._io))

    def remember(self, snapshot: Snapshot, manifests: list[ManifestFile]) -> None:
        """Keep the manifests of a snapshot that was just committed."""
        self._cache[snapshot.snapshot_id] = manifests
        while len(self._cache) > CACHED_LISTS:
            self._cache.popitem(last=False)

    def entries(self, manifest: ManifestFile) -> list[ManifestEntry]:
        """The live entries of a manifest, each file with what is written down of it."""
        found = manifest.fetch_manifest_entry(self._io, discard_deleted=True)
        recorded = recorded_in(local(manifest.manifest_path).read_bytes())
        for entry in found:
            entry.data_file.recorded = recorded.get(name_of(entry.data_file.file_path))
        return found

    def added(self, files: Sequence[DataFile], snapshot_id: int) -> ManifestFile | None:
        """Write the manifest of files that a snapshot adds; None where it adds none."""
        if not files:
            return None
        return self.write([as_added(file, snapshot_id) for file in files], snapshot_id)

    def write(self, entries: Sequence[ManifestEntry], snapshot_id: int) -> ManifestFile:
        """Write a manifest of any entries; those that are not ADDED must tell their sequence numbers."""
        blocks = [self._records.block(self._records.encode(e)) for e in entries]
        count = {s: [e for e in entries if e.status == s] for s in ManifestEntryStatus}
        live = [e for e in entries if e.status != ManifestEntryStatus.DELETED]
        known = [e.sequence_number for e in live if e.sequence_number]
        recorded = {name_of(e.data_file.file_path): getattr(e.data_file, "recorded", None) for e in live}
        return self._write(
            blocks,
            snapshot_id,
            {name: found for name, found in recorded.items() if found is not None},
            min_sequence_number=min(known) if known else -1,
            partitions=construct_partition_summaries(self.spec, self.schema, [e.data_file.partition for e in entries]),
            **counts("added", count[ManifestEntryStatus.ADDED]),
            **counts("existing", count[ManifestEntryStatus.EXISTING]),
            **counts("deleted", count[ManifestEntryStatus.DELETED]),
        )

    def merged(self, manifests: list[ManifestFile], snapshot_id: int) -> list[ManifestFile]:
        """The same files in fewer manifests: wherever `merge_min` of one tier stand, they become one."""
        while True:
            tiers: dict[int, list[ManifestFile]] = {}
            for manifest in manifests:
                if self._mergeable(manifest, snapshot_id):
                    tiers.setdefault(self._tier(manifest), []).append(manifest)
            full = next((ms for _, ms in sorted(tiers.items()) if len(ms) >= self._merge_min), None)
            if full is None:
                return manifests
            one, gone = self._merge(full, snapshot_id), {m.manifest_path for m in full}
            at = next(i for i, m in enumerate(manifests) if m.manifest_path in gone)
            left = [m for m in manifests if m.manifest_path not in gone]
            manifests = [*left[:at], *([one] if one else []), *left[at:]]

    def write_list(self, manifests: Iterable[ManifestFile], snapshot_id: int, parent: int | None, sequence: int) -> str:
        """Write a snapshot's manifest list; returns its location."""
        location = f"{self._folder}/snap-{snapshot_id}-0-{uuid.uuid4()}.avro"
        meta = {
            "snapshot-id": str(snapshot_id),
            "parent-snapshot-id": str(parent) if parent is not None else "null",
            "sequence-number": str(sequence),
            "format-version": "2",
        }
        write_file(
            local(location), self._lists.container(meta, [self._lists.block(self._lists.encode(m)) for m in manifests])
        )
        return location

    def _mergeable(self, manifest: ManifestFile, snapshot_id: int) -> bool:
        return (
            manifest.content == ManifestContent.DATA
            and manifest.partition_spec_id == self.spec.spec_id
            and manifest.added_snapshot_id != snapshot_id  # its sequence number is not known yet
        )

    def _tier(self, manifest: ManifestFile) -> int:
        """Powers of `merge_min`, beginning with one commit's 16 files."""
        files, tier, limit = live_files(manifest), 0, 16 * self._merge_min
        while files >= limit:
            tier, limit = tier + 1, limit * self._merge_min
        return tier

    def _merge(self, manifests: list[ManifestFile], snapshot_id: int) -> ManifestFile | None:
        files = sum(live_files(m) for m in manifests)
        if not files:
            return None
        held = [local(manifest.manifest_path).read_bytes() for manifest in manifests]
        blocks = [block for m, data in zip(manifests, held, strict=True) for block in self._existing(m, data)]
        return self._write(
            blocks,
            snapshot_id,
            {name: found for data in held for name, found in recorded_in(data).items()},
            min_sequence_number=min(m.min_sequence_number for m in manifests),
            partitions=joined([m.partitions or [] for m in manifests]),
            added_files_count=0,
            added_rows_count=0,
            existing_files_count=files,
            existing_rows_count=sum((m.added_rows_count or 0) + (m.existing_rows_count or 0) for m in manifests),
            deleted_files_count=0,
            deleted_rows_count=0,
        )

    def _existing(self, manifest: ManifestFile, data: bytes) -> list[bytes]:
        """The live entries of a manifest as blocks of a merged one."""
        try:
            blocks = raw_blocks(data, self._records.sync)
            if manifest.added_files_count == 0 and manifest.deleted_files_count == 0:
                return [blocks]  # merged before: all of its entries say what they need to say
            copied = [existing_entry(e, manifest) for e in raw_entries(blocks, self._records.sync)]
            return [self._records.block(e) for e in copied if e is not None]
        except ForeignContainerError:
            return [self._records.block(self._records.encode(as_existing(e))) for e in self.entries(manifest)]

    def _write(
        self, blocks: list[bytes], snapshot_id: int, recorded: dict[str, Recorded], **facts: Any
    ) -> ManifestFile:
        location = f"{self._folder}/{uuid.uuid4()}-m0.avro"
        meta = {**self._meta, KEY: pack(recorded)} if recorded else self._meta
        data = self._records.container(meta, blocks)
        write_file(local(location), data)
        return ManifestFile.from_args(
            manifest_path=location,
            manifest_length=len(data),
            partition_spec_id=self.spec.spec_id,
            content=ManifestContent.DATA,
            sequence_number=-1,
            added_snapshot_id=snapshot_id,
            key_metadata=None,
            **facts,
        )
