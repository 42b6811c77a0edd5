"""Compaction: many small files become one, and no row, position or offset changes.

The rewritten files are durable before the swap; the swap is conditioned on the head it was made from and carries that
head's offsets. Survived: commits of the writer in between (the same files are replaced in the newer head), another
compaction or a rollback that took the files away (given up, the copies deleted), a crash anywhere (orphans).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
from pyiceberg.manifest import DataFile, ManifestContent, ManifestEntry, ManifestFile
from pyiceberg.table.snapshots import Operation

from k2_plugin_iceberg.commit import Committer
from k2_plugin_iceberg.entries import as_deleted, as_existing
from k2_plugin_iceberg.entry import require_files
from k2_plugin_iceberg.files import local
from k2_plugin_iceberg.maintain.inventory import Inventory
from k2_plugin_iceberg.maintain.plan import Job, jobs
from k2_plugin_iceberg.offsets import committed, head_offsets, pack
from k2_plugin_iceberg.snapshots import Change, Snapshots
from k2_plugin_iceberg.staging import Staging
from k2core.plugin import CommitConflictError, SinkError

if TYPE_CHECKING:
    from logging import Logger

    from k2_plugin_iceberg.manifests import Manifests
    from k2_plugin_iceberg.settings import IcebergSettings
    from k2_plugin_iceberg.state import Base

BATCH_JOBS = 64
BATCH_ROWS = 2_000_000


class Compaction:
    """Compacts one table."""

    def __init__(
        self,
        inventory: Inventory,
        manifests: Manifests,
        snapshots: Snapshots,
        committer: Committer,
        staging: Staging,
        settings: IcebergSettings,
        log: Logger,
    ) -> None:
        self._inventory, self._manifests, self._snapshots = inventory, manifests, snapshots
        self._committer, self._staging, self._settings = committer, staging, settings
        self._log = log

    def planned(self, base: Base, now_us: int) -> list[Job]:
        """What there is to compact."""
        if self._inventory.has_deletes(base.metadata):
            return []  # another engine's deletes name rows by file and place: its own compaction has to resolve them
        settled_ms = now_us // 1000 - int(self._settings.slice_settle_s * 1000)
        snapshots = base.metadata.snapshots
        young = frozenset(s.sequence_number or 0 for s in snapshots if s.timestamp_ms > settled_ms)
        return jobs(self._inventory.head(base.metadata), self._settings, now_us, young)

    def run(self, planned: Sequence[Job]) -> dict[str, int]:
        """Rewrite and swap, a batch at a time; returns what was done."""
        counts = dict.fromkeys(("files_compacted", "files_written", "rows_compacted", "bytes_saved"), 0)
        for batch in _batches(planned):
            written = [self._rewrite(job) for job in batch]
            if self._replace(batch, written):
                counts["files_compacted"] += sum(len(j.files) for j in batch)
                counts["files_written"] += len(written)
                counts["rows_compacted"] += sum(j.rows for j in batch)
                counts["bytes_saved"] += sum(f.size for j in batch for f in j.files)
                counts["bytes_saved"] -= sum(f.file_size_in_bytes for f in written)
        return counts

    def _rewrite(self, job: Job) -> DataFile:
        rows = pa.concat_tables([self._staging.read(local(f.path)) for f in job.files])
        if rows.num_rows != job.rows:
            raise SinkError(
                f"files of bucket {job.bucket}, first {job.files[0].path}, hold {rows.num_rows} rows and their entries "
                f"say {job.rows}: the table is damaged; nothing was changed"
            )
        written = self._staging.write(rows, lasting=True)
        if len(written) != 1 or list(written[0].partition._data) != [job.date, job.bucket]:
            raise SinkError(f"rows in {job.files[0].path} lie in another date or bucket than its entry says")
        return written[0]

    def _replace(self, batch: Sequence[Job], written: Sequence[DataFile]) -> bool:
        gone = {f.path for job in batch for f in job.files}
        change = Change("compact", Operation.REPLACE, added=written)

        def attempt(base: Base) -> Base | None:
            require_files(written)
            if base.metadata.current_schema_id != self._staging.schema_id:
                raise CommitConflictError("the table got other columns, of which the rewritten files know nothing")
            offsets = pack(*head_offsets(base.metadata))
            manifests, removed = self._without(base, gone, change.snapshot_id)
            now = Change("compact", Operation.REPLACE, written, removed, change.snapshot_id, change.commit_id)
            added = self._manifests.added(written, change.snapshot_id)
            return self._snapshots.swap(base, now, [*([added] if added else []), *manifests], offsets)

        try:
            self._committer.repeat(attempt, lambda metadata: committed(metadata, change.commit_id) is not None)
        except CommitConflictError as error:
            self._log.info("compaction gave way, it is planned again in the next run: %s", error)
            for file in written:
                local(file.file_path).unlink(missing_ok=True)
            return False
        return True

    def _without(self, base: Base, gone: set[str], snapshot_id: int) -> tuple[list[ManifestFile], list[DataFile]]:
        """The head's manifests without some files, and those files' entries.

        Raises:
            CommitConflictError: Some of the files are not in the head.
        """
        current = self._manifests.of(base.metadata.current_snapshot())
        holding = [m for m in current if m.content == ManifestContent.DATA and self._holds(m, gone)]
        entries = [e for m in holding for e in self._manifests.entries(m)]
        out = [e for e in entries if e.data_file.file_path in gone]
        if len(out) != len(gone):
            raise CommitConflictError(
                f"{len(gone) - len(out)} of {len(gone)} files to compact left the table meanwhile"
            )
        restated: list[ManifestEntry] = [as_existing(e) for e in entries if e.data_file.file_path not in gone]
        restated += [as_deleted(e, snapshot_id) for e in out]
        rest = [m for m in current if m not in holding]
        kept = self._manifests.merged(rest, snapshot_id)
        return [self._manifests.write(restated, snapshot_id), *kept], [e.data_file for e in out]

    def _holds(self, manifest: ManifestFile, gone: set[str]) -> bool:
        return any(f.path in gone for f in self._inventory.of(manifest))


def _batches(planned: Sequence[Job]) -> Iterator[list[Job]]:
    batch: list[Job] = []
    for job in planned:
        if batch and (len(batch) >= BATCH_JOBS or sum(j.rows for j in batch) + job.rows > BATCH_ROWS):
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch
