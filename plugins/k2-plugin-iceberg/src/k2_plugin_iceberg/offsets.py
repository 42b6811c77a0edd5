"""The log's offsets in a table's snapshots: what makes a commit of rows and of progress one atomic step.

Keys of a k2 snapshot's summary:

    k2.v        "1"
    k2.op       "ingest", "compact", "merge" …: who made it and why
    k2.commit   unique id of the commit, to recognise it after a lost reply
    k2.offsets  {"market.crypto.trades.binance": {"id": "<topic id>", "offsets": {"0": 812, "7": 4061},
                 "stamps": {"0": "<of record 811>", …}, "gone": {"7": [[0, 1200, <before, Unix µs>]]},
                 "shed": {"7": [<the fields of `Shed` behind its place>, …]}}, …}

`k2.offsets` is complete: every topic that ever fed the table, with the next offset of every partition, the stamp of the
record before it, every range of records that the table passed because the log had them no more, and every range with
records that it passed under load. The newest snapshot of `main` counts, by ancestry: after a rollback the offsets are those of the rows that are left.
Survived: rollback, expiry of older snapshots, compaction by foreign engines (they add no rows and inherit).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from k2core.plugin import Gone, Offsets, Partition, Shed, SinkError

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

VERSION = "k2.v"
OP = "k2.op"
COMMIT = "k2.commit"
OFFSETS = "k2.offsets"


class Progress(NamedTuple):
    """What a snapshot says of the log; see `Head`."""

    offsets: Mapping[Partition, int] = {}
    topic_ids: Mapping[str, str] = {}
    stamps: Mapping[Partition, str] = {}
    gone: tuple[Gone, ...] = ()
    shed: tuple[Shed, ...] = ()


def pack(
    offsets: Offsets,
    topic_ids: Mapping[str, str],
    stamps: Mapping[Partition, str] | None = None,
    gone: Sequence[Gone] = (),
    shed: Sequence[Shed] = (),
) -> str:
    """A snapshot's progress as the text of `k2.offsets`."""
    topics: dict[str, dict[str, Any]] = {t: {"id": topic_ids[t], "offsets": {}} for t in sorted(topic_ids)}
    for (topic, partition), offset in sorted(offsets.items()):
        topics.setdefault(topic, {"id": "", "offsets": {}})["offsets"][str(partition)] = offset
    for (topic, partition), stamp in sorted((stamps or {}).items()):
        topics[topic].setdefault("stamps", {})[str(partition)] = stamp
    for one in sorted(set(gone)):
        ranges = topics[one.topic].setdefault("gone", defaultdict(list))
        ranges[str(one.partition)].append([one.first_offset, one.next_offset, one.before_us])
    for range_ in shed:
        named = topics[range_.topic].setdefault("shed", defaultdict(list))
        named[str(range_.partition)].append(astuple(range_)[2:])
    return json.dumps(topics, separators=(",", ":"))


@lru_cache(maxsize=64)
def unpack(text: str) -> Progress:
    """The reverse of `pack`."""
    topics = json.loads(text)
    return Progress(
        offsets={(t, int(p)): o for t, entry in topics.items() for p, o in entry["offsets"].items()},
        topic_ids={t: entry["id"] for t, entry in topics.items()},
        stamps={(t, int(p)): s for t, entry in topics.items() for p, s in entry.get("stamps", {}).items()},
        gone=tuple(
            Gone(t, int(p), *one)
            for t, entry in topics.items()
            for p, ranges in entry.get("gone", {}).items()
            for one in ranges
        ),
        shed=tuple(
            _shed(t, int(p), one)
            for t, entry in topics.items()
            for p, ranges in entry.get("shed", {}).items()
            for one in ranges
        ),
    )


def _shed(topic: str, partition: int, values: Sequence[Any]) -> Shed:
    first, following, symbols, *others = values
    return Shed(topic, partition, first, following, tuple((name, count) for name, count in symbols), *others)


def snapshot_offsets(metadata: TableMetadata, snapshot: Snapshot) -> Progress:
    """The progress that holds at a snapshot: its own, or those of the nearest ancestor from which it inherits.

    Raises:
        SinkError: A snapshot in between added rows without saying from where, or is gone.
    """
    at: Snapshot | None = snapshot
    while at is not None:
        summary = at.summary
        if summary is not None and (text := summary.get(OFFSETS)):
            return unpack(text)
        if not _inherits(at):
            raise SinkError(
                f"snapshot {at.snapshot_id} of {metadata.location} added rows without k2.offsets (another program "
                "appended to the table): what of the log it holds is unknown. Roll main back to its parent "
                f"({at.parent_snapshot_id}), or load those rows through k2 instead"
            )
        at = _parent(metadata, at)
    return Progress()


def _parent(metadata: TableMetadata, snapshot: Snapshot) -> Snapshot | None:
    parent_id = snapshot.parent_snapshot_id
    parent = metadata.snapshot_by_id(parent_id) if parent_id is not None else None
    rows = int(snapshot.summary.get("total-records") or 0) if snapshot.summary else 0
    # pyiceberg's expiry forgets the parent's id, Java's keeps it: either way rows without an origin must not pass.
    if parent is None and (parent_id is not None or rows):
        raise SinkError(
            f"snapshot {snapshot.snapshot_id} of {metadata.location} has no k2.offsets and the snapshot before it was "
            "expired: what of the log it holds is unknown. Roll main back to a snapshot that has them"
        )
    return parent


def head_offsets(metadata: TableMetadata) -> Progress:
    """The progress at the head of `main`; empty while nothing was committed.

    Raises:
        SinkError: A foreign append hides the offsets.
    """
    head = metadata.current_snapshot()
    return Progress() if head is None else snapshot_offsets(metadata, head)


def committed(metadata: TableMetadata, commit_id: str) -> Snapshot | None:
    """The snapshot that a commit made, where it is in `main`'s ancestry."""
    at = metadata.current_snapshot()
    while at is not None:
        if at.summary is not None and at.summary.get(COMMIT) == commit_id:
            return at
        at = metadata.snapshot_by_id(at.parent_snapshot_id) if at.parent_snapshot_id is not None else None
    return None


def _inherits(snapshot: Snapshot) -> bool:
    """Whether a snapshot without offsets leaves them as they were: a rewrite, or one that took rows out.

    An engine that deletes by copying adds the rows that stay and removes all; what it adds came from the log once.
    """
    summary = snapshot.summary
    if summary is None:
        return False
    added, deleted = (int(summary.get(k) or 0) for k in ("added-records", "deleted-records"))
    return summary.operation.value == "replace" or added <= deleted
