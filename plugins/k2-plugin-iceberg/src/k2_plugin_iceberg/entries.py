"""Facts of manifest entries and manifests: how they are restated, counted and summed up."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from pyiceberg.manifest import ManifestEntry, ManifestEntryStatus, ManifestFile, PartitionFieldSummary


def as_added(entry_file: object, snapshot_id: int) -> ManifestEntry:
    """The entry of a file that a snapshot adds; it inherits the snapshot's sequence number."""
    return ManifestEntry.from_args(
        status=ManifestEntryStatus.ADDED,
        snapshot_id=snapshot_id,
        sequence_number=None,
        file_sequence_number=None,
        data_file=entry_file,
    )


def as_existing(entry: ManifestEntry) -> ManifestEntry:
    """The entry as a later snapshot carries it over."""
    return _restated(entry, ManifestEntryStatus.EXISTING, entry.snapshot_id)


def as_deleted(entry: ManifestEntry, snapshot_id: int) -> ManifestEntry:
    """The entry as the snapshot that takes its file out of the table tells it."""
    return _restated(entry, ManifestEntryStatus.DELETED, snapshot_id)


def assigned(manifest: ManifestFile, sequence: int) -> ManifestFile:
    """A manifest written for a snapshot, with the sequence number that the snapshot got."""
    copied = ManifestFile(*manifest._data)
    if copied.sequence_number == -1:
        copied.sequence_number = sequence
    if copied.min_sequence_number == -1:
        copied.min_sequence_number = sequence
    return copied


def live_files(manifest: ManifestFile) -> int:
    """How many files a manifest adds or carries over."""
    return (manifest.added_files_count or 0) + (manifest.existing_files_count or 0)


def counts(name: str, entries: Iterable[ManifestEntry]) -> dict[str, int]:
    """Files and rows of some entries, as keywords of a `ManifestFile`."""
    rows = [e.data_file.record_count for e in entries]
    return {f"{name}_files_count": len(rows), f"{name}_rows_count": sum(rows)}


def joined(summaries: Iterable[list[PartitionFieldSummary]]) -> list[PartitionFieldSummary]:
    """Partition summaries that cover all of several manifests'; both partition fields are four-byte integers."""
    return [
        PartitionFieldSummary.from_args(
            contains_null=any(f.contains_null for f in fields),
            contains_nan=False,
            lower_bound=_extreme(min, [f.lower_bound for f in fields]),
            upper_bound=_extreme(max, [f.upper_bound for f in fields]),
        )
        for fields in zip(*[s for s in summaries if s], strict=True)
    ]


def _extreme(choose: Callable[[list[int]], int], bounds: list[bytes | None]) -> bytes | None:
    values = [struct.unpack("<i", b)[0] for b in bounds if b is not None]
    return struct.pack("<i", choose(values)) if values else None


def _restated(entry: ManifestEntry, status: ManifestEntryStatus, snapshot_id: int | None) -> ManifestEntry:
    return ManifestEntry.from_args(
        status=status,
        snapshot_id=snapshot_id,
        sequence_number=entry.sequence_number,
        file_sequence_number=entry.file_sequence_number,
        data_file=entry.data_file,
    )
