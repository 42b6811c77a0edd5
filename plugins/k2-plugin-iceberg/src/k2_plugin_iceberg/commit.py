"""Committing rows and offsets in one step, fenced: the loop read → check → swap.

Every attempt reads the table, checks owner tokens and offsets on what it read, and swaps from exactly that. Whoever
changed the table in between makes the swap fail, and everything is checked again. Survived:

    another writer took over          its token stands in what is read next: FencedError, nothing landed
    an older writer landed something  offsets are not as expected: CommitConflictError, nothing landed
    maintenance or another owner      tried again, a bounded number of times
    the reply to the swap was lost    the next read finds `k2.commit` in main's ancestry, or tries again: both the
                                      lost and the new swap are conditioned on their base, so one of them lands
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyiceberg.table.snapshots import Operation
from sqlalchemy.exc import SQLAlchemyError

from k2_plugin_iceberg.files import local
from k2_plugin_iceberg.offsets import Progress, committed, head_offsets, pack, snapshot_offsets
from k2_plugin_iceberg.owners import require_owned, taken_over
from k2_plugin_iceberg.snapshots import Change, Snapshots
from k2core.plugin import (
    CommitConflictError,
    CommitUnknownError,
    FencedError,
    Head,
    LogFacts,
    Offsets,
    Ownership,
    Partition,
    SinkError,
    Staged,
)

if TYPE_CHECKING:
    from logging import Logger

    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table.metadata import TableMetadata

    from k2_plugin_iceberg.manifests import Manifests
    from k2_plugin_iceberg.state import Base, TableState

BACKOFF_S = 0.01
MAX_BACKOFF_S = 0.5


class Committer:
    """The swaps that a writer makes on one table."""

    def __init__(
        self, state: TableState, manifests: Manifests, snapshots: Snapshots, log: Logger, *, attempts: int
    ) -> None:
        self._state, self._manifests, self._snapshots, self._attempts = state, manifests, snapshots, attempts
        self._log = log

    def commit(self, staged: Staged, owned: Ownership, expect: Offsets, offsets: Offsets, facts: LogFacts) -> Head:
        """See `SinkTable.commit`."""
        change = Change("ingest", Operation.APPEND, added=staged.files)
        manifest = self._manifests.added(staged.files, change.snapshot_id)

        def attempt(base: Base) -> Base | None:
            topic_ids = require_owned(base.metadata, owned)
            require_files(staged.files)
            merged = _advanced(base.metadata, owned, expect, offsets, topic_ids, facts)
            return self._snapshots.swap(base, change, self._with(base, manifest, change.snapshot_id), merged)

        try:
            done = self.repeat(attempt, lambda metadata: committed(metadata, change.commit_id) is not None)
        except (FencedError, CommitConflictError):
            if manifest is not None:  # nothing landed, so nobody can need it
                local(manifest.manifest_path).unlink(missing_ok=True)
            raise
        snapshot = committed(done.metadata, change.commit_id)
        if snapshot is None:
            return head_of(done)
        return _head(snapshot.snapshot_id, snapshot_offsets(done.metadata, snapshot))

    def take_over(
        self, partitions: frozenset[Partition], topic_ids: Mapping[str, str], owner: str, token: str
    ) -> Ownership:
        """See `SinkTable.take_over`."""

        def attempt(base: Base) -> Base | None:
            changed = taken_over(base.metadata, partitions, topic_ids, owner, token)
            return self._state.swap(base, properties={**base.metadata.properties, **changed})

        def landed(metadata: TableMetadata) -> bool:
            return any(token in text for text in metadata.properties.values())

        self.repeat(attempt, landed)
        return Ownership(token, partitions)

    def repeat(self, attempt: Callable[[Base], Base | None], landed: Callable[[TableMetadata], bool]) -> Base:
        """Try a swap from the newest metadata until it lands.

        Args:
            attempt: Checks the base and swaps from it; None where the table changed meanwhile.
            landed: Whether metadata shows that an earlier attempt landed whose reply was lost.

        Raises:
            CommitConflictError: Others were faster every time.
            CommitUnknownError: The catalog did not say what became of an attempt, and cannot be read either.
        """
        unknown: Exception | None = None
        for tries in range(self._attempts):
            if tries:
                time.sleep(min(MAX_BACKOFF_S, BACKOFF_S * 2**tries) * random.uniform(0.5, 1))  # noqa: S311
            base = self._reread(unknown)
            if unknown is not None and landed(base.metadata):
                return base
            try:
                new = attempt(base)
            except SQLAlchemyError as error:
                self._log.warning("commit on %s: outcome unknown, looking at the head: %s", self._state.name, error)
                unknown = error
                continue
            if new is not None:
                return new
        if unknown is not None:
            return self._settled(unknown, landed)
        raise CommitConflictError(
            f"table {self._state.name} was changed by others {self._attempts} times in a row: nothing was stored; "
            "is another program writing to it without pause?"
        )

    def _settled(self, unknown: Exception, landed: Callable[[TableMetadata], bool]) -> Base:
        base = self._reread(unknown)
        if landed(base.metadata):
            return base
        raise CommitUnknownError(
            f"the catalog of table {self._state.name} failed in every attempt to commit ({unknown}): read the head and "
            "compare offsets; check the catalog's disk and locks"
        ) from unknown

    def _reread(self, unknown: Exception | None) -> Base:
        try:
            return self._state.read()
        except SinkError as error:
            if unknown is None:
                raise
            raise CommitUnknownError(
                f"the reply to a commit on table {self._state.name} was lost ({unknown}) and its head cannot be read "
                f"({error}): read the head later and compare offsets"
            ) from error

    def _with(self, base: Base, manifest: ManifestFile | None, snapshot_id: int) -> list[ManifestFile]:
        existing = self._manifests.merged(self._manifests.of(base.metadata.current_snapshot()), snapshot_id)
        return [manifest, *existing] if manifest is not None else existing


def head_of(base: Base) -> Head:
    """What the newest snapshot says.

    Raises:
        SinkError: A foreign append hides the offsets.
    """
    return _head(base.metadata.current_snapshot_id, head_offsets(base.metadata))


def _head(snapshot_id: int | None, now: Progress) -> Head:
    return Head(snapshot_id=snapshot_id, offsets=now.offsets, topic_ids=now.topic_ids, stamps=now.stamps, gone=now.gone)


def require_files(files: Sequence[Any]) -> None:
    """Check that staged files still exist: a writer frozen for a day may find them swept away.

    Raises:
        CommitConflictError: They do not.
    """
    missing = [f.file_path for f in files if not local(f.file_path).exists()]
    if missing:
        raise CommitConflictError(
            f"{len(missing)} staged files are gone, first {missing[0]}: they waited too long for their commit and "
            "maintenance deleted them. Nothing was stored; start again from the head"
        )


def _advanced(
    metadata: TableMetadata,
    owned: Ownership,
    expect: Offsets,
    offsets: Offsets,
    topic_ids: Mapping[str, str],
    facts: LogFacts,
) -> str:
    """The table's offsets with the owned ones moved on, as text; checked against what the owner expects."""
    progress = head_offsets(metadata)
    now = progress.offsets
    moved = {p: (expect.get(p, 0), now.get(p, 0)) for p in owned.partitions if now.get(p, 0) != expect.get(p, 0)}
    if moved:
        (topic, partition), (wanted, found) = min(moved.items())
        raise CommitConflictError(
            f"table {metadata.location} is at other offsets than expected on {len(moved)} partitions, first "
            f"{topic}/{partition}: {found} instead of {wanted}. Nothing was stored; start again from the head"
        )
    strangers = sorted(p for p in offsets if p not in owned.partitions)
    back = sorted(p for p, o in offsets.items() if o < now.get(p, 0))
    if strangers or back:
        what = f"{strangers[0]} is not owned" if strangers else f"{back[0]} would go back to {offsets[back[0]]}"
        raise SinkError(f"commit to table {metadata.location} refused: partition {what}; the caller counts wrongly")
    still = {p: s for p, s in progress.stamps.items() if offsets.get(p, now.get(p)) == now.get(p)}
    ids = {**progress.topic_ids, **topic_ids}
    return pack({**now, **offsets}, ids, {**still, **facts.stamps}, (*progress.gone, *facts.gone))
