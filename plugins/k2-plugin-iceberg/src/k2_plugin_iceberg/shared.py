"""Commits of several writers as one: whoever finds nobody at work commits for all that wait (flat combining).

A writer leaves its staged files as an entry (`queue.py`) and looks after it. If nobody commits, it does: it takes every
entry that waits, checks each one's token and offsets on the table as it is, and swaps once. What is fenced or
conflicting is refused alone; the rest lands. Landing and telling so are one transaction. Survived:

    the committer dies or freezes     whoever waits sees no change for `SILENT_S` and commits instead; what the other does
                                      when it wakes fails, for the table or the entries have changed
    an owner gives up                 its entry is withdrawn first: it can never land afterwards
    the reply to a swap is lost       entries tell, by their state, whether they landed
"""

from __future__ import annotations

import random
import time
import uuid
from typing import TYPE_CHECKING

from pyiceberg.table.snapshots import Operation
from sqlalchemy.exc import SQLAlchemyError

from k2_plugin_iceberg.entry import Entry, read
from k2_plugin_iceberg.files import local
from k2_plugin_iceberg.offsets import head_offsets, pack
from k2_plugin_iceberg.queue import LANDED, REFUSED, WAITING, WITHDRAWN, CommitQueue, Seen
from k2_plugin_iceberg.snapshots import Change, Snapshots
from k2core.plugin import CommitConflictError, CommitUnknownError, FencedError, SinkError

if TYPE_CHECKING:
    from logging import Logger

    from k2_plugin_iceberg.manifests import Manifests
    from k2_plugin_iceberg.state import TableState

SILENT_S = 1.0
"""A committer of which nothing was seen for so long is taken for dead: longer than any commit should take."""
LOOK_S, SELDOM_S = 0.002, 0.02
"""Pause between two looks at one's entry: at first, and after some."""
_REFUSED = {"fenced": FencedError, "conflict": CommitConflictError, "wrong": SinkError}


class SharedCommits:
    """One writer's way to commit together with others. One thread at a time.

    Args:
        state: The table.
        manifests: Its manifests.
        snapshots: Its swaps.
        queue: Where entries wait.
        log: For lines about trouble.
        wait_s: How long an entry waits, at most.
    """

    def __init__(
        self, state: TableState, manifests: Manifests, snapshots: Snapshots, queue: CommitQueue, log: Logger,
        *, wait_s: float,
    ) -> None:  # fmt: skip
        self._state, self._manifests, self._snapshots, self._queue = state, manifests, snapshots, queue
        self._log, self._wait_s = log, wait_s
        self._me = uuid.uuid4().hex
        self._done: list[str] = []

    def commit(self, entry: Entry) -> int | None:
        """Land an entry, by whose hand ever.

        Returns:
            The snapshot that it is part of.

        Raises:
            FencedError, CommitConflictError, SinkError: Refused; nothing landed.
            CommitUnknownError: The catalog does not tell what became of it.
        """
        entry_id = uuid.uuid4().hex
        try:
            self._queue.put(entry_id, entry.text(), self._now_ms(), self._done)
            self._done = []
            seen = self._wait(entry_id)
        except (SQLAlchemyError, SinkError, OSError) as error:
            seen = self._withdrawn(entry_id, error)
            if seen.state == WITHDRAWN:
                raise
        self._done.append(entry_id)
        return self._told(seen)

    def _wait(self, entry_id: str) -> Seen:
        """Until something became of an entry; commit for all where nobody does."""
        until, pause = time.monotonic() + self._wait_s, LOOK_S
        watched, since = ("", 0), time.monotonic()
        while (seen := self._queue.look(entry_id)).state == WAITING:
            now = time.monotonic()
            if (seen.holder, seen.beat) != watched:
                watched, since = (seen.holder, seen.beat), now
            if now >= until:
                return self._queue.withdraw(entry_id, self._now_ms())
            if not seen.holder or seen.holder == self._me or now - since >= SILENT_S:
                if self._queue.lead(self._me, seen):
                    self._combine()
                pause = LOOK_S
            else:
                time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
                pause = min(SELDOM_S, pause * 1.5)
        return seen

    def _combine(self) -> None:
        """One swap for all that wait; whether it came to be, entries tell."""
        waiting = self._queue.waiting()  # before the table is read: what an owner expects is never newer than that
        base = self._state.read()
        progress, chosen, refused = head_offsets(base.metadata), {}, {}
        for entry_id, text in waiting:
            entry = read(text)
            try:
                if entry is not None:
                    progress = entry.after(base.metadata, progress)
                    chosen[entry_id] = entry
            except SinkError as error:
                refused[entry_id] = _reason(error)
        if refused:
            self._queue.refuse(refused)
        if not chosen:
            self._queue.resign(self._me)
            return
        files = [file for entry in chosen.values() for file in entry.files]
        change = Change("ingest", Operation.APPEND, added=files)
        manifest = self._manifests.added(files, change.snapshot_id)
        manifests = self._manifests.merged(self._manifests.of(base.metadata.current_snapshot()), change.snapshot_id)
        landed = self._snapshots.swap(
            base, change, [*([manifest] if manifest else []), *manifests], pack(*progress),
            lambda link: self._queue.land(link, list(chosen), change.snapshot_id, self._me),
        )  # fmt: skip
        if landed is None and manifest is not None:
            local(manifest.manifest_path).unlink(missing_ok=True)

    def _told(self, seen: Seen) -> int | None:
        if seen.state == LANDED:
            return int(seen.told["snapshot"])
        if seen.state == REFUSED:
            raise _error(seen)
        if seen.state == WITHDRAWN:
            raise CommitConflictError(
                f"table {self._state.name}: a commit waited {self._wait_s:g} s for its turn and was taken back, nothing was "
                "stored; are too many writers at work, or is the catalog's disk too slow?"
            )
        raise CommitUnknownError(f"table {self._state.name}: an entry is gone from the commit queue: compare offsets")

    def _withdrawn(self, entry_id: str, error: Exception) -> Seen:
        """After trouble: what became of the entry, which is taken back if nothing had."""
        self._log.warning("commit on %s: trouble, looking at its entry: %s", self._state.name, error)
        try:
            seen = self._queue.withdraw(entry_id, self._now_ms())
            self._queue.resign(self._me)
            return seen
        except SQLAlchemyError as again:
            raise CommitUnknownError(
                f"the catalog of table {self._state.name} does not tell what became of a commit ({error}; {again}): read "
                "the head later and compare offsets"
            ) from error

    def _now_ms(self) -> int:
        return self._state.clock.now_ms()


def _reason(error: SinkError) -> dict[str, object]:
    """An error as text."""
    if isinstance(error, FencedError):
        return {"why": "fenced", "message": str(error), "lost": sorted(error.partitions)}
    return {"why": "conflict" if isinstance(error, CommitConflictError) else "wrong", "message": str(error)}


def _error(seen: Seen) -> SinkError:
    """The reverse of `_reason`."""
    if seen.told["why"] == "fenced":
        return FencedError(seen.told["message"], frozenset((t, p) for t, p in seen.told["lost"]))
    return _REFUSED[seen.told["why"]](seen.told["message"])  # type: ignore[no-any-return]
