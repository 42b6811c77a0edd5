"""Which snapshots live on: the newest few, and, tagged, the last of each hour and of each day.

Decided in the step that adds a snapshot, so that metadata never grows and no second swap is needed. Tags (`k2-hour-…`,
`k2-day-…`, UTC) are for foreign engines that travel in time by snapshot; k2 itself answers `as_of` from the rows.
Snapshots that other branches or anyone's tags need are never touched.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRef, SnapshotRefType

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

    from k2_plugin_iceberg.settings import IcebergSettings

_PERIODS = (("k2-hour-", "%Y%m%d%H", 3_600_000, "hour_tags"), ("k2-day-", "%Y%m%d", 86_400_000, "day_tags"))


def retained(metadata: TableMetadata, settings: IcebergSettings, now_ms: int) -> tuple[dict[str, Any], list[Snapshot]]:
    """What retention changes in a table's metadata: (changed fields, expired snapshots)."""
    refs = _tagged(metadata, settings, now_ms)
    needed = _needed(metadata, refs, settings.snapshots_to_keep)
    expired = [s for s in metadata.snapshots if s.snapshot_id not in needed]
    if not expired and refs == metadata.refs:
        return {}, []
    gone = {s.snapshot_id for s in expired}
    changes = {
        "refs": refs,
        "snapshots": [s for s in metadata.snapshots if s.snapshot_id not in gone],
        "snapshot_log": [e for e in metadata.snapshot_log if e.snapshot_id not in gone],
        "statistics": [s for s in metadata.statistics if s.snapshot_id not in gone],
        "partition_statistics": [s for s in metadata.partition_statistics if s.snapshot_id not in gone],
    }
    return changes, expired


def _tagged(metadata: TableMetadata, settings: IcebergSettings, now_ms: int) -> dict[str, SnapshotRef]:
    refs = dict(metadata.refs)
    line = ancestry(metadata)
    for prefix, form, length_ms, setting in _PERIODS:
        count: int = getattr(settings, setting)
        oldest = (now_ms // length_ms - count) * length_ms
        for newer, older in itertools.pairwise(line):
            closed = newer.timestamp_ms // length_ms > older.timestamp_ms // length_ms
            if closed and older.timestamp_ms >= oldest:
                name = prefix + _utc(older.timestamp_ms).strftime(form)
                refs.setdefault(name, _tag(older.snapshot_id))
        first = prefix + _utc(oldest).strftime(form)
        refs = {n: r for n, r in refs.items() if not (n.startswith(prefix) and n < first)}
    return refs


def _needed(metadata: TableMetadata, refs: dict[str, SnapshotRef], keep: int) -> set[int]:
    needed = {s.snapshot_id for s in sorted(metadata.snapshots, key=lambda s: s.sequence_number or 0)[-keep:]}
    for name, ref in refs.items():
        needed.add(ref.snapshot_id)
        if name != MAIN_BRANCH and ref.snapshot_ref_type == SnapshotRefType.BRANCH:
            needed.update(s.snapshot_id for s in ancestry(metadata, ref.snapshot_id))
    return needed


def ancestry(metadata: TableMetadata, snapshot_id: int | None = None) -> list[Snapshot]:
    """A snapshot (default: the head of `main`) and its ancestors that still live, newest first."""
    by_id = {s.snapshot_id: s for s in metadata.snapshots}
    at = by_id.get(metadata.current_snapshot_id if snapshot_id is None else snapshot_id)  # type: ignore[arg-type]
    line = []
    while at is not None:
        line.append(at)
        at = by_id.get(at.parent_snapshot_id) if at.parent_snapshot_id is not None else None
    return line


def _tag(snapshot_id: int) -> SnapshotRef:
    return SnapshotRef.model_validate({"snapshot-id": snapshot_id, "type": SnapshotRefType.TAG})


def _utc(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)
