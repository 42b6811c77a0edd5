"""A new snapshot of `main`: its summary, its manifest list, and the metadata that holds it."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRef, SnapshotRefType
from pyiceberg.table.snapshots import Operation, Snapshot, SnapshotLogEntry, Summary

from k2_plugin_iceberg.entries import assigned
from k2_plugin_iceberg.files import local
from k2_plugin_iceberg.keep import retained
from k2_plugin_iceberg.offsets import COMMIT, OFFSETS, OP, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyiceberg.manifest import DataFile, ManifestFile
    from sqlalchemy import Connection

    from k2_plugin_iceberg.manifests import Manifests
    from k2_plugin_iceberg.settings import IcebergSettings
    from k2_plugin_iceberg.state import Base, TableState

    Also = Callable[[Connection], bool]


DROPPED = 200_000


def new_snapshot_id() -> int:
    """A random positive 63-bit id."""
    return uuid.uuid4().int & (2**63 - 1)


@dataclass(frozen=True, slots=True)
class Change:
    """What one commit does; its ids stay the same however often it is tried.

    Args:
        op: `k2.op`, as `ingest`.
        operation: Iceberg's name of it.
        added: Files that come in.
        removed: Files that go out.
        snapshot_id: Id of the snapshot to be made.
        commit_id: Its `k2.commit`.
    """

    op: str
    operation: Operation
    added: Sequence[DataFile] = ()
    removed: Sequence[DataFile] = ()
    snapshot_id: int = field(default_factory=new_snapshot_id)
    commit_id: str = field(default_factory=lambda: uuid.uuid4().hex)


class Snapshots:
    """Makes and swaps in snapshots of one table."""

    def __init__(self, state: TableState, manifests: Manifests, settings: IcebergSettings) -> None:
        self._state, self._manifests, self._settings = state, manifests, settings
        self.dropped: deque[str] = deque(maxlen=DROPPED)
        """Files that snapshots held and the newest does not: sweeping knows then that they are no one's new files."""

    def swap(
        self, base: Base, change: Change, manifests: list[ManifestFile], offsets: str, also: Also | None = None
    ) -> Base | None:
        """Make a snapshot of these manifests the head of `main`; everything it names is durable before the swap.

        Args:
            base: What the swap is conditioned on.
            change: What it does.
            manifests: All of the snapshot's.
            offsets: Text of `k2.offsets`.
            also: See `LakeCatalog.swap`.

        Returns:
            The new base; None where the table changed since `base`.

        Raises:
            SQLAlchemyError: The outcome is unknown.
        """
        metadata, now, parent = base.metadata, self._state.now_ms(base), base.metadata.current_snapshot()
        sequence = metadata.next_sequence_number()
        parent_id, numbered = parent.snapshot_id if parent else None, [assigned(m, sequence) for m in manifests]
        facts: dict[str, Any] = {
            "snapshot_id": change.snapshot_id,
            "parent_snapshot_id": parent_id,
            "sequence_number": sequence,
            "timestamp_ms": now,
            "manifest_list": self._manifests.write_list(numbered, change.snapshot_id, parent_id, sequence),
            "summary": _summary(change, parent, offsets),
            "schema_id": metadata.current_schema_id,
        }
        snapshot = Snapshot(**facts)
        changes = _headed(base, snapshot, sequence, now)
        kept, expired = retained(metadata.model_copy(update=changes), self._settings, now)
        new = self._state.swap(base, also, **(changes | kept))
        if new is None:
            local(str(snapshot.manifest_list)).unlink(missing_ok=True)
        else:
            self._manifests.remember(snapshot, numbered)
            self._note_dropped(change, parent, numbered, expired)
        return new

    def _note_dropped(
        self, change: Change, parent: Snapshot | None, manifests: list[ManifestFile], expired: list[Snapshot]
    ) -> None:
        left = {m.manifest_path for m in manifests}
        self.dropped += [s.manifest_list for s in expired if s.manifest_list]
        self.dropped += [m.manifest_path for m in self._manifests.of(parent) if m.manifest_path not in left]
        self.dropped += [f.file_path for f in change.removed]


def _headed(base: Base, snapshot: Snapshot, sequence: int, now_ms: int) -> dict[str, Any]:
    metadata = base.metadata
    main = SnapshotRef.model_validate({"snapshot-id": snapshot.snapshot_id, "type": SnapshotRefType.BRANCH})
    logged = SnapshotLogEntry.model_validate({"snapshot-id": snapshot.snapshot_id, "timestamp-ms": now_ms})
    return {
        "snapshots": [*metadata.snapshots, snapshot],
        "snapshot_log": [*metadata.snapshot_log, logged],
        "refs": {**metadata.refs, MAIN_BRANCH: main},
        "current_snapshot_id": snapshot.snapshot_id,
        "last_sequence_number": sequence,
        "last_updated_ms": now_ms,
    }


def _summary(change: Change, parent: Snapshot | None, offsets: str) -> Summary:
    before = parent.summary if parent and parent.summary else {}
    added, removed = _sizes(change.added), _sizes(change.removed)
    facts = {VERSION: "1", OP: change.op, COMMIT: change.commit_id, OFFSETS: offsets}
    for name, plus, minus in zip(("data-files", "records", "files-size"), added, removed, strict=True):
        facts[f"total-{name}"] = str(int(before.get(f"total-{name}") or 0) + plus - minus)
    facts |= _nonzero(("added-data-files", "added-records", "added-files-size"), added)
    facts |= _nonzero(("deleted-data-files", "deleted-records", "removed-files-size"), removed)
    for name in ("total-delete-files", "total-position-deletes", "total-equality-deletes"):
        facts[name] = before.get(name) or "0"
    return Summary(operation=change.operation, **facts)


def _sizes(files: Sequence[DataFile]) -> tuple[int, int, int]:
    return len(files), sum(f.record_count for f in files), sum(f.file_size_in_bytes for f in files)


def _nonzero(names: tuple[str, ...], values: tuple[int, ...]) -> dict[str, str]:
    return {n: str(v) for n, v in zip(names, values, strict=True) if v}
