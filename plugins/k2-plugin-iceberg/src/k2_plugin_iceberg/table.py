"""`IcebergTable`: one table as the writer sees it."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pyiceberg.manifest import DataFile
from sqlalchemy.exc import SQLAlchemyError

from k2_plugin_iceberg.commit import Committer, head_of
from k2_plugin_iceberg.creation import open_table
from k2_plugin_iceberg.entry import Entry
from k2_plugin_iceberg.files import local
from k2_plugin_iceberg.layout import Layout
from k2_plugin_iceberg.maintain.compact import Compaction
from k2_plugin_iceberg.maintain.inventory import Inventory
from k2_plugin_iceberg.maintain.sweep import Sweep
from k2_plugin_iceberg.maintain.upkeep import Upkeep
from k2_plugin_iceberg.manifests import Manifests
from k2_plugin_iceberg.owners import require_owned
from k2_plugin_iceberg.queue import CommitQueue
from k2_plugin_iceberg.restoring import restore
from k2_plugin_iceberg.shared import SharedCommits
from k2_plugin_iceberg.snapshots import Snapshots
from k2_plugin_iceberg.staging import Staging
from k2_plugin_iceberg.state import TableState
from k2core.plugin import (
    Context,
    DataType,
    Head,
    LogFacts,
    MaintenanceReport,
    Offsets,
    Ownership,
    Partition,
    Shed,
    SinkError,
    SinkTable,
    Staged,
    StoredIdentities,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from k2_plugin_iceberg.catalog import LakeCatalog
    from k2_plugin_iceberg.plan import PlanCache
    from k2_plugin_iceberg.settings import IcebergSettings

KEPT_MS = 3_600_000
"""So long entries of writers that are gone stay in the commit queue."""


@contextlib.contextmanager
def _named(table: str, doing: str) -> Iterator[None]:
    """Errors of disk and catalog, with what was being done to which table."""
    try:
        yield
    except (OSError, SQLAlchemyError) as error:
        raise SinkError(
            f"table {table}: {doing} failed: {error}; nothing was stored. Check free space and permissions"
        ) from error


class IcebergTable(SinkTable):
    """A data type's table. One thread at a time, except `maintain`, which may run beside."""

    def __init__(
        self,
        catalog: LakeCatalog,
        data_type: DataType,
        settings: IcebergSettings,
        context: Context,
        pool: ThreadPoolExecutor,
    ) -> None:
        table = open_table(catalog, data_type, settings)
        self._data_type, self._settings = data_type, settings
        self._identities: StoredIdentities | None = None
        self._plan: PlanCache | None = None
        self._queue: CommitQueue | None = None
        self._state = TableState(catalog, table, context.clock, versions=settings.metadata_versions)
        self._manifests = Manifests(table.io, table.metadata, settings.manifest_merge_min)
        self._snapshots = Snapshots(self._state, self._manifests, settings)
        self._committer = Committer(
            self._state, self._manifests, self._snapshots, context.logger, attempts=settings.commit_attempts,
            shared=self._shared(catalog, context) if settings.commit_together else None,
        )  # fmt: skip
        layout = Layout(data_type, table.schema(), settings)
        self._staging = Staging(layout, local(table.location()) / "data", table.spec().spec_id, pool)
        inventory = Inventory(self._manifests, table.io, table.schema())
        self._compaction = Compaction(
            inventory, self._manifests, self._snapshots, self._committer, self._staging, settings, context.logger
        )
        sweep = Sweep(self._state, inventory, self._snapshots.dropped, settings)
        self._upkeep = Upkeep(self._state, self._committer, self._compaction, sweep, settings, context.clock)

    def _shared(self, catalog: LakeCatalog, context: Context) -> SharedCommits:
        queue = self._queue = CommitQueue(
            catalog.brief_engine(self._settings.catalog_busy_s), f"{catalog.name}.{self._state.name}"
        )
        with _named(self._state.name, "making the commit queue"):
            queue.make()
        return SharedCommits(
            self._state, self._manifests, self._snapshots, queue, context.logger,
            wait_s=self._settings.commit_wait_s,
        )  # fmt: skip

    def head(self) -> Head:
        """The newest snapshot of `main`, and its offsets."""
        with _named(self._state.name, "reading the head"):
            return head_of(self._state.read())

    def check_owned(self, owned: Ownership) -> None:
        """Whether our token still stands, as of now."""
        with _named(self._state.name, "looking for the owner"):
            require_owned(self._state.read().metadata, owned)

    def take_over(self, partitions: frozenset[Partition], topic_ids: Mapping[str, str], owner: str) -> Ownership:
        """Write a new token for the partitions into the table's properties; whoever had them is fenced from then on."""
        with _named(self._state.name, "taking over partitions"):
            return self._committer.take_over(partitions, topic_ids, owner, uuid.uuid4().hex)

    def take_more(
        self, owned: Ownership, partitions: frozenset[Partition], topic_ids: Mapping[str, str], owner: str
    ) -> Ownership:
        """A new token for all, in one swap that is conditioned on the old one."""
        with _named(self._state.name, "taking over further partitions"):
            every = owned.partitions | partitions
            return self._committer.take_over(every, topic_ids, owner, uuid.uuid4().hex, owned)

    def stage(self, rows: pa.Table) -> Staged:
        """Write rows to Parquet files and sync them."""
        with _named(self._state.name, "writing data files"):
            files = self._staging.write(rows)
        return Staged(sum(f.record_count for f in files), sum(f.file_size_in_bytes for f in files), files)

    def commit(
        self, staged: Staged, owned: Ownership, expect: Offsets, offsets: Offsets, facts: LogFacts | None = None
    ) -> Head:
        """One swap: rows and offsets, conditioned on owner and offsets."""
        with _named(self._state.name, "the commit"):
            return self._committer.commit(Entry(staged.files, owned, expect, offsets, facts or LogFacts()))

    def restore(self, done: Sequence[Shed]) -> Head:
        """One swap of the same rows and offsets, with the ranges as they are from now on."""
        with _named(self._state.name, "noting restored records"):
            return restore(self._committer, self._snapshots, self._manifests, done)

    def discard(self, staged: Staged) -> None:
        """Delete staged files; safe only where their commit was refused."""
        with _named(self._state.name, "deleting staged files"):
            for file in staged.files:
                path = file.file_path if isinstance(file, DataFile) else str(file)
                local(path).unlink(missing_ok=True)

    def stored(self) -> StoredIdentities:
        """Look-ups at the newest snapshot as of each call."""
        from k2_plugin_iceberg.plan import PlanCache
        from k2_plugin_iceberg.stored import TableIdentities

        if self._identities is None:  # keeps what it has read of the table's manifests
            self._plan = PlanCache(self._settings, self._data_type)
            self._identities = TableIdentities(self._plan, self._data_type)
        return self._identities

    def close(self) -> None:
        """Close what look-ups and the commit queue use of the catalog; the sink does it."""
        if self._queue is not None:
            self._queue.close()
        if self._plan is not None:
            self._plan.close()

    def maintain(self, *, dry_run: bool = False) -> MaintenanceReport:
        """Compact closed slices, expire snapshots, delete what was long unreachable."""
        with _named(self._state.name, "maintenance"):
            if self._queue is not None and not dry_run:
                self._queue.sweep(self._state.clock.now_ms() - KEPT_MS)
            return self._upkeep.run(dry_run=dry_run)
