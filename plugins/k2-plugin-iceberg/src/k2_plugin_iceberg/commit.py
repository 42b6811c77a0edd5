"""Committing rows and offsets in one step, fenced: the loop read → check → swap.

Every attempt reads the table, checks owner tokens and offsets on what it read, and swaps from exactly that. Whoever
changed the table in between makes the swap fail, and everything is checked again. Survived:

    another writer took over          its token stands in what is read next: FencedError, nothing landed
    an older writer landed something  offsets are not as expected: CommitConflictError, nothing landed
    maintenance or another owner      tried again, a bounded number of times; commits of several writers: together, by the
                                      hand of one of them (`shared.py`)
    the reply to the swap was lost    the next read finds `k2.commit` in main's ancestry, or tries again: both the
                                      lost and the new swap are conditioned on their base, so one of them lands
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

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
    Ownership,
    Partition,
    SinkError,
)

if TYPE_CHECKING:
    from logging import Logger

    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table.metadata import TableMetadata

    from k2_plugin_iceberg.entry import Entry
    from k2_plugin_iceberg.manifests import Manifests
    from k2_plugin_iceberg.shared import SharedCommits
    from k2_plugin_iceberg.state import Base, TableState

CROWDED_S = 10.0
"""Once somebody was faster, commits are made together with the others for so long."""
BACKOFF_S = 0.01
MAX_BACKOFF_S = 0.5


class Committer:
    """The swaps that a writer makes on one table.

    Args:
        state: The table.
        manifests: Its manifests.
        snapshots: Its swaps.
        log: For lines about trouble.
        attempts: How often a swap is tried, at most.
        shared: How to commit together with other writers; None: each commit tries for itself.
    """

    def __init__(
        self, state: TableState, manifests: Manifests, snapshots: Snapshots, log: Logger, *, attempts: int,
        shared: SharedCommits | None = None,
    ) -> None:  # fmt: skip
        self._state, self._manifests, self._snapshots, self._attempts = state, manifests, snapshots, attempts
        self._log, self._shared = log, shared
        self._crowded_until = float("-inf")

    def commit(self, entry: Entry) -> Head:
        """See `SinkTable.commit`.

        Who meets nobody swaps by himself: that costs nothing more than ever. Whose swap fails because somebody else was
        faster commits together with the others from then on, until all was quiet for a while.
        """
        now = time.monotonic()
        if self._shared is None or now >= self._crowded_until:
            done = self._alone(entry)
            if done is not None:
                return done
            self._crowded_until = now + CROWDED_S
        assert self._shared is not None
        snapshot_id = self._shared.commit(entry)
        return self._head_at(self._state.read(), snapshot_id)

    def _alone(self, entry: Entry) -> Head | None:
        """Swap by oneself; None where somebody was faster and there is another way."""
        change = Change("ingest", Operation.APPEND, added=entry.files)
        manifest = self._manifests.added(entry.files, change.snapshot_id)

        def attempt(base: Base) -> Base | None:
            after = pack(*entry.after(base.metadata, head_offsets(base.metadata)))
            return self._snapshots.swap(base, change, self._with(base, manifest, change.snapshot_id), after)

        try:
            done = self._tried(
                attempt,
                lambda metadata: committed(metadata, change.commit_id) is not None,
                once=self._shared is not None,
            )
        except (FencedError, CommitConflictError):
            self._drop(manifest)
            raise
        if done is None:
            self._drop(manifest)
            return None
        snapshot = committed(done.metadata, change.commit_id)
        return self._head_at(done, snapshot.snapshot_id if snapshot else None)

    def _head_at(self, base: Base, snapshot_id: int | None) -> Head:
        """What a snapshot says; the newest, where that one is there no more."""
        snapshot = base.metadata.snapshot_by_id(snapshot_id) if snapshot_id is not None else None
        if snapshot is None:
            return head_of(base)
        return _head(snapshot.snapshot_id, snapshot_offsets(base.metadata, snapshot))

    def _drop(self, manifest: ManifestFile | None) -> None:
        """Nothing landed, so nobody can need it."""
        if manifest is not None:
            local(manifest.manifest_path).unlink(missing_ok=True)

    def take_over(
        self, partitions: frozenset[Partition], topic_ids: Mapping[str, str], owner: str, token: str,
        held: Ownership | None = None,
    ) -> Ownership:  # fmt: skip
        """See `SinkTable.take_over` and, where something is held already, `take_more`."""

        def attempt(base: Base) -> Base | None:
            if held is not None:
                require_owned(base.metadata, held)
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
        done = self._tried(attempt, landed)
        if done is None:
            raise CommitConflictError(
                f"table {self._state.name} was changed by others {self._attempts} times in a row: nothing was stored; "
                "is another program writing to it without pause?"
            )
        return done

    def _tried(
        self, attempt: Callable[[Base], Base | None], landed: Callable[[TableMetadata], bool], *, once: bool = False
    ) -> Base | None:
        """As `repeat`; None where others were faster every time, or, with `once`, at all."""
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
            if once and unknown is None:
                return None
        return None if unknown is None else self._settled(unknown, landed)

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
    return Head(snapshot_id=snapshot_id, **now._asdict())
