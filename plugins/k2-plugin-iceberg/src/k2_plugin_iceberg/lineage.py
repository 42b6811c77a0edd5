"""`Lineage`: which snapshots are ancestors of `main`'s head, remembered beyond their expiry.

Expiry drops old snapshots and with them the links between them. What was seen to be an ancestor stays one until `main`
is rolled back behind it: then everything beyond the fork is forgotten. A head that cannot be linked to what was seen
(too much was expired meanwhile) starts anew, so an unknown past is never taken for one's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

REMEMBERED = 65_536


class Lineage:
    """Ancestors of the head. Written by one thread at a time, read by any."""

    def __init__(self) -> None:
        self._line: dict[int, None] = {}
        self.seen: dict[int, int] = {}
        """Commit time, Unix ms, of every snapshot seen, the oldest of them forgotten."""

    def __contains__(self, snapshot_id: int) -> bool:
        return snapshot_id in self._line

    def follow(self, metadata: TableMetadata | None) -> None:
        """Take in newer metadata."""
        head = metadata.current_snapshot() if metadata is not None else None
        if metadata is None or head is None:
            self._line = {}
            return
        newer, fork = self._back(metadata, head)
        line = {} if fork is None else self._up_to(fork)
        line = {**line, **dict.fromkeys(reversed(newer))}
        self._line = dict.fromkeys(list(line)[-REMEMBERED:]) if len(line) > REMEMBERED else line
        seen = {**self.seen, **{s.snapshot_id: s.timestamp_ms for s in metadata.snapshots}}
        self.seen = dict(list(seen.items())[-REMEMBERED:]) if len(seen) > REMEMBERED else seen

    def _back(self, metadata: TableMetadata, head: Snapshot) -> tuple[list[int], int | None]:
        """Ids from the head back, up to the first that is known (that one apart), or as far as they are told."""
        by_id = {s.snapshot_id: s for s in metadata.snapshots}
        newer: list[int] = []
        at: int | None = head.snapshot_id
        while at is not None and at not in self._line:
            newer.append(at)
            at = by_id[at].parent_snapshot_id if at in by_id else None
        return newer, at

    def _up_to(self, fork: int) -> dict[int, None]:
        if next(reversed(self._line)) == fork:
            return self._line
        ids = list(self._line)
        return dict.fromkeys(ids[: ids.index(fork) + 1])


def nearest(metadata: TableMetadata, snapshot_id: int | None, seen: Mapping[int, int]) -> str:
    """A sentence that names the living snapshot nearest to a lost one, as far as that one's time is known."""
    living = sorted(metadata.snapshots, key=lambda s: s.timestamp_ms)
    if not living:
        return "the table has no snapshot yet"
    time_ms = seen.get(snapshot_id) if snapshot_id is not None else None
    if time_ms is None:
        return f"those that live reach from {_named(living[0])} to {_named(living[-1])}"
    return f"the nearest that lives is {_named(min(living, key=lambda s: abs(s.timestamp_ms - time_ms)))}"


def _named(snapshot: Snapshot) -> str:
    at = datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return f"{snapshot.snapshot_id} of {at}"
