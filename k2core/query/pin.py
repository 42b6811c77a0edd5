"""Pinning a query: first the tail's ends H, then the snapshot S with its offsets B, and where the halves meet.

Shed records are in the log and not in the table: below B only the table is asked where they may be. The other order loses rows: what is committed and dropped between the two looks would be in neither half. A snapshot
that the tail does not build on (a rollback) is never joined with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from k2core.errors import QueryError
from k2core.interfaces.broker import Offsets, Partition
from k2core.interfaces.query import Snapshot, SourceTable
from k2core.query.gate import Deadline
from k2core.query.tail import Tail
from k2core.query.view import View


@dataclass(frozen=True, slots=True, eq=False)
class Pinned:
    """One moment of log and table.

    Args:
        ends: H: the answer is the log's prefix below these.
        view: The tail's rows.
        snapshot: The table's.
        age_s: How old the tail was; see `Tail.age_s`.
    """

    ends: Offsets
    view: View
    snapshot: Snapshot
    age_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Where each part of the log is read from.

    Args:
        cold: The table gives positions below these.
        hot: The tail gives positions from these on, below H.
        holes: (first, next) per partition that only the log still has.
    """

    cold: Offsets
    hot: Offsets
    holes: dict[Partition, tuple[int, int]]


def pin(tail: Tail, source: SourceTable, ends: Offsets | None, wait_s: float, deadline: Deadline) -> Pinned:
    """Pin a query.

    Args:
        tail: The hot half.
        source: The cold half.
        ends: H of an earlier page or a snapshot; None for the tail's own.
        wait_s: Seconds to wait for a tail that is behind H or being rebuilt.
        deadline: Of the whole query.

    Raises:
        QueryError: `behind`, `rebuilding`: waiting did not help; 503.
    """
    age_s = tail.age_s
    view = tail.view
    snapshot = source.newest()
    if snapshot.id is not None and not snapshot.offsets:
        raise QueryError(
            f"snapshot {snapshot.id} of {tail.parts.data_type.table} has no k2.offsets: somebody else than k2 wrote it,"
            " so hot and cold rows cannot be told apart; roll the table back to a snapshot of k2's",
            kind="foreign-snapshot",
            status=500,
        )
    if not _built_on(view, snapshot, source) or view.undone(snapshot):
        tail.rolled_back()
        if not tail.wait(
            lambda v: _built_on(v, snapshot, source) and not v.undone(snapshot), min(wait_s, deadline.left())
        ):
            raise QueryError("the tail is being rebuilt: the table was rolled back, or records were shed", kind="rebuilding",
                             status=503, retry_after=1)  # fmt: skip
        return pin(tail, source, ends, wait_s, deadline)
    if ends is not None and not _reaches(view, snapshot, ends):
        if not tail.wait(lambda v: _reaches(v, snapshot, ends), min(wait_s, deadline.left())):
            raise QueryError("this server has not read the log as far as the cursor's first page did; try again",
                             kind="behind", status=503, retry_after=1)  # fmt: skip
        return pin(tail, source, ends, wait_s, deadline)
    return Pinned(view.ends if ends is None else ends, view, snapshot, age_s)


def split(pinned: Pinned, *, prefer_hot: bool) -> Split:
    """Where the halves meet: at the snapshot's offsets B, or at the tail's start T0 where that is lower.

    Args:
        pinned: From `pin`.
        prefer_hot: Take committed rows from the tail too, as far back as it holds them.
    """
    view, stored = pinned.view, pinned.snapshot.offsets
    shed: dict[Partition, int] = {}
    for one in pinned.snapshot.shed:  # what was shed is in the tail, and must come from neither half
        shed[one.place] = max(one.next_offset, shed.get(one.place, 0))
    cold: dict[Partition, int] = {}
    hot: dict[Partition, int] = {}
    holes: dict[Partition, tuple[int, int]] = {}
    for partition, end in pinned.ends.items():
        start, middle = view.starts.get(partition, 0), stored.get(partition, 0)
        if prefer_hot and shed.get(partition, 0) <= start < middle and end <= view.ends.get(partition, 0):
            middle = start
        cold[partition], hot[partition] = min(middle, end), max(middle, start)
        if middle < min(start, end):
            holes[partition] = (middle, min(start, end))
    return Split(cold, hot, holes)


def _built_on(view: View, snapshot: Snapshot, source: SourceTable) -> bool:
    """Whether the snapshot that the tail has seen is this one or an ancestor of it."""
    seen = view.seen.id
    return seen is None or seen == snapshot.id or source.contains_snapshot(seen)


def _reaches(view: View, snapshot: Snapshot, ends: Offsets) -> bool:
    """Whether tail or table has every position below H."""
    return all(end <= max(view.ends.get(p, 0), snapshot.offsets.get(p, 0)) for p, end in ends.items())
