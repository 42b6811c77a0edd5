"""`PlanCache`: which data files a snapshot consists of, known within a millisecond of a commit.

The newest snapshot costs one SELECT; metadata is parsed only where its location changed, a manifest is decoded once and
remembered (it never changes). Survived: metadata, manifest lists and manifests that are deleted while they are read
(the table moved on: read again, or a typed error that names what lives), expiry (the ancestry of `main` that was seen
is remembered beyond it), a rollback of `main` (what lies behind the fork is forgotten). Any number of threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pyiceberg.manifest import ManifestContent, ManifestFile
from pyiceberg.serializers import FromInputFile

from k2_plugin_iceberg.filelist import FileList, Reading
from k2_plugin_iceberg.files import SyncedFileIO, local
from k2_plugin_iceberg.lineage import Lineage, nearest
from k2_plugin_iceberg.location import Locations, open_locations, table_name
from k2_plugin_iceberg.offsets import snapshot_offsets
from k2_plugin_iceberg.recorded import names_in, recorded_in
from k2_plugin_iceberg.spans import Spans
from k2core.plugin import DataType, QueryError, SinkError, Snapshot

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot

    from k2_plugin_iceberg.settings import IcebergSettings

READ_ATTEMPTS = 5
EMPTY = Snapshot(id=None, parent_id=None, offsets={}, timestamp_ms=0)


@dataclass(frozen=True, slots=True)
class _State:
    location: str | None
    metadata: TableMetadata | None


class PlanCache:
    """Snapshots and files of one data type's table; the table may not exist yet.

    Args:
        settings: Where the table lies.
        data_type: Whose rows.
    """

    def __init__(self, settings: IcebergSettings, data_type: DataType) -> None:
        self.settings, self.data_type = settings, data_type
        self._lock = threading.Lock()
        self._state = _State(None, None)
        self._newest: Snapshot | QueryError = EMPTY
        self._lineage = Lineage()
        self._lists: OrderedDict[int, FileList] = OrderedDict()
        self._manifests: OrderedDict[str, FileList] = OrderedDict()
        self._io = SyncedFileIO()
        self._seen: tuple[int | None, frozenset[tuple[str, str]] | None] = (None, frozenset())
        self.spans = Spans(data_type, settings.remembered_spans)

    def newest(self) -> Snapshot:
        """The head of `main`.

        Raises:
            QueryError: `table-away`: the catalog cannot be read; `foreign-snapshot`: its offsets are unknown.
        """
        self._refresh()
        newest = self._newest
        if isinstance(newest, QueryError):
            raise newest
        return newest

    def snapshot(self, snapshot_id: int) -> Snapshot:
        """A snapshot that lives.

        Raises:
            QueryError: `snapshot-gone`: it was expired, or never was.
        """
        metadata = self._refresh().metadata
        found = metadata.snapshot_by_id(snapshot_id) if metadata is not None else None
        if metadata is None or found is None:
            raise self.gone(snapshot_id)
        return _snapshot(metadata, found)

    def contains_snapshot(self, snapshot_id: int) -> bool:
        """Whether a snapshot is the head of `main` or one of its known ancestors."""
        self._refresh()
        return snapshot_id in self._lineage

    def files(self, snapshot: Snapshot) -> FileList:
        """The data files of a snapshot.

        Raises:
            QueryError: `snapshot-gone`: what describes it was deleted; `unsupported-table`: it has delete files.
        """
        if snapshot.id is None:
            return FileList.join([])
        found = self._lists.get(snapshot.id)
        return found if found is not None else self._load(snapshot)

    def seen(self, snapshot: Snapshot) -> frozenset[tuple[str, str]] | None:
        """Every (symbol, exchange) of a snapshot's files; None where some do not tell."""
        if self._seen[0] != snapshot.id:
            self._seen = snapshot.id, names_in(self.files(snapshot).recorded)
        return self._seen[1]

    def gone(self, snapshot_id: int | None) -> QueryError:
        """The error for a snapshot that cannot be read any more; it names the nearest one that lives."""
        metadata = self._state.metadata
        hint = nearest(metadata, snapshot_id, self._lineage.seen) if metadata is not None else "the table is empty"
        return QueryError(
            f"snapshot {snapshot_id} of {self.data_type.table} is gone (expired) or never was: {hint}",
            kind="snapshot-gone",
            status=410,
        )

    def stats(self) -> Mapping[str, int]:
        """Rows, files, bytes and living snapshots."""
        snapshot = self.newest()
        files, metadata = self.files(snapshot), self._state.metadata
        return {
            "rows": int(files.rows.sum()),
            "files": len(files),
            "bytes": int(files.size.sum()),
            "snapshots": len(metadata.snapshots) if metadata is not None else 0,
        }

    def close(self) -> None:
        """Close the catalog."""
        if "_catalog" in self.__dict__:
            self._catalog.close()

    @cached_property
    def _catalog(self) -> Locations:
        return open_locations(self.settings)

    def _location(self) -> str | None:
        if not self._opened() and not self.settings.is_there:
            return None  # who only reads makes no catalog; it is looked for again with the next question
        try:
            return self._catalog.location(table_name(self.data_type))
        except SinkError as error:
            raise QueryError(
                f"catalog {self.settings.uri} of table {self.data_type.table} cannot be read: {error}",
                kind="table-away",
                status=503,
                retry_after=1,
            ) from error

    def _refresh(self) -> _State:
        """The newest metadata. Changes are taken in one after the other: an older one never follows a newer."""
        state = self._state
        if self._opened() and self._location() == state.location:
            return state
        with self._lock:
            return self._reread()

    def _opened(self) -> bool:
        return "_catalog" in self.__dict__

    def _reread(self) -> _State:
        missing: OSError | None = None
        for _ in range(READ_ATTEMPTS):
            location = self._location()
            if location == self._state.location:
                return self._state
            try:
                metadata = FromInputFile.table_metadata(self._io.new_input(location)) if location else None
            except FileNotFoundError as error:  # the table moved on and its older metadata was deleted
                missing = error
                continue
            self._take(_State(location, metadata))
            return self._state
        raise QueryError(
            f"metadata of table {self.data_type.table} cannot be read: {missing}", kind="table-unreadable", status=500
        )

    def _take(self, state: _State) -> None:
        self._lineage.follow(state.metadata)
        self._newest = _newest(state.metadata)
        self._state = state

    def _load(self, snapshot: Snapshot) -> FileList:
        with self._lock:
            assert snapshot.id is not None
            found = self._lists.get(snapshot.id)
            if found is None:
                found = self._lists[snapshot.id] = self._read(snapshot)
                while len(self._lists) > self.settings.cached_snapshots:
                    self._lists.popitem(last=False)
            return found

    def _read(self, snapshot: Snapshot) -> FileList:
        pinned: IcebergSnapshot = snapshot.extra
        try:
            manifests = [m for m in pinned.manifests(self._io) if m.has_added_files() or m.has_existing_files()]
            if any(m.content == ManifestContent.DELETES for m in manifests):
                raise QueryError(
                    f"snapshot {snapshot.id} of {self.data_type.table} has delete files, which k2 never writes and does"
                    " not read: let the engine that made them rewrite the data files, or roll the table back",
                    kind="unsupported-table",
                    status=500,
                )
            parts = [self._decoded(m) for m in manifests]
        except FileNotFoundError as error:
            raise self.gone(snapshot.id) from error
        self._trim({m.manifest_path for m in manifests})
        return FileList.join(parts)

    def _decoded(self, manifest: ManifestFile) -> FileList:
        found = self._manifests.get(manifest.manifest_path)
        if found is None:
            entries = manifest.fetch_manifest_entry(self._io, discard_deleted=True)
            recorded = recorded_in(local(manifest.manifest_path).read_bytes())
            found = self._reading.read((e.data_file for e in entries), manifest.partition_spec_id, recorded)
            self._manifests[manifest.manifest_path] = found
        self._manifests.move_to_end(manifest.manifest_path)
        return found

    @property
    def _reading(self) -> Reading:
        metadata = self._state.metadata
        assert metadata is not None
        return Reading(self.data_type, metadata.schema(), metadata.specs())

    def _trim(self, needed: set[str]) -> None:
        """Forget what was used longest ago, but nothing that the snapshot just read consists of."""
        held = sum(len(part) for part in self._manifests.values())
        for path in list(self._manifests):
            if held <= self.settings.cached_files:
                return
            if path not in needed:
                held -= len(self._manifests.pop(path))


def _newest(metadata: Any) -> Snapshot | QueryError:
    head = metadata.current_snapshot() if metadata is not None else None
    if head is None:
        return EMPTY
    try:
        return _snapshot(metadata, head)
    except QueryError as error:
        return error


def _snapshot(metadata: TableMetadata, found: IcebergSnapshot) -> Snapshot:
    try:
        told = snapshot_offsets(metadata, found)
    except SinkError as error:
        raise QueryError(str(error), kind="foreign-snapshot", status=500) from error
    return Snapshot(
        id=found.snapshot_id,
        parent_id=found.parent_snapshot_id,
        offsets=told.offsets,
        timestamp_ms=found.timestamp_ms,
        extra=found,
        topic_ids=told.topic_ids,
        stamps=told.stamps,
        gone=told.gone,
        shed=told.shed,
    )
