"""`Commits`: what waits becomes one atomic commit, and what became of it is known before anything else happens.

Survived: a refused commit (its files are deleted), one whose outcome is unknown (the table's offsets tell; no file is
deleted, for the swap may still land), a dedup store that does not hear of one that landed.
"""

from __future__ import annotations

from k2core.admission.holes import HoleLedger
from k2core.errors import CommitConflictError, FencedError, SinkError
from k2core.interfaces.broker import Partition
from k2core.interfaces.sink import Staged
from k2core.writer.after import discard, tidy
from k2core.writer.crash import crash_point
from k2core.writer.measures import tell_committed, tell_staged
from k2core.writer.owning import Owning
from k2core.writer.parts import Parts
from k2core.writer.settling import Settling
from k2core.writer.tell import tell_landed, tell_shed
from k2core.writer.waiting import Waiting


class Commits:
    """Belongs to one pipeline.

    Args:
        parts: The pipeline's.
        owning: What is owned.
        settling: Told of what landed.
        ledger: Holes, told after each commit.
    """

    def __init__(self, parts: Parts, owning: Owning, settling: Settling, ledger: HoleLedger) -> None:
        self._parts, self._owning, self._settling, self._ledger = parts, owning, settling, ledger
        self._conflicts, self._began = 0, 0.0
        self.waiting = Waiting()
        self.doubt: dict[Partition, int] | None = None

    def run(self) -> bool:
        """Store all that waits.

        Returns:
            Whether it landed; where not, it must be read again.

        Raises:
            FencedError: Another writer owns some of the partitions; nothing was stored.
            CommitConflictError: Others changed the table too often in a row; nothing was stored.
            SinkError: The table cannot be reached; `doubt` is set where the outcome is unknown.
        """
        parts, began = self._parts, self._parts.clock.monotonic()
        self._began = began
        try:
            crash_point("before-write")
            staged = parts.table.stage(self.waiting.take(parts.data_type.table_schema))
            tell_staged(parts, staged, max(0.0, parts.clock.monotonic() - began))
            crash_point("after-files")
            return self._swap(staged)
        finally:
            spent = max(0.0, parts.clock.monotonic() - began)
            parts.metrics.observe("k2_writer_commit_seconds", spent, data_type=parts.data_type.name)

    def resolve(self) -> bool:
        """The outcome of a commit is unknown: the table's offsets tell.

        Raises:
            SinkError: They cannot be read; call again.
        """
        doubt, head = self.doubt or {}, self._parts.table.head()
        if all(head.offsets.get(place, 0) == offset for place, offset in doubt.items()):
            self._landed(head.snapshot_id)
            return True
        return False

    def drop(self) -> None:
        """Nothing that waits was ever read."""
        for place, offset in self._owning.committed.items():
            self._parts.dedup.abandon(place, offset)
        self.waiting, self.doubt = Waiting(), None

    def _swap(self, staged: Staged) -> bool:
        owning, waiting = self._owning, self.waiting
        expect = dict(owning.committed)
        offsets = {**{p: o for p, o in expect.items() if o}, **waiting.next}
        try:
            head = self._parts.table.commit(staged, owning.held, expect, offsets, waiting.facts())
        except FencedError:
            self._refused("fenced", staged)
            raise
        except CommitConflictError as error:
            self._refused("conflict", staged)
            self._conflict(error)
            return False
        except SinkError as error:
            self._outcome("unknown")
            self._parts.logger.warning(
                "commit outcome unknown data_type=%s error=%s", self._parts.data_type.name, error
            )
            self.doubt = offsets
            return self.resolve()
        crash_point("after-commit")
        self._landed(head.snapshot_id)
        tell_shed(self._parts, head.shed)
        return True

    def _landed(self, snapshot: int | None = None) -> None:
        waiting, committed = self.waiting, self._owning.committed
        self._outcome("landed")
        self.doubt, self._conflicts, self.waiting = None, 0, Waiting()
        for place, following in waiting.next.items():
            self._settling.add(place, committed[place], following)
        self._owning.landed(waiting.next)
        crash_point("before-settle")
        self._settling.run()
        tidy(self._parts, waiting.newest_us, committed)
        tell_committed(self._parts, waiting, snapshot, self._parts.clock.monotonic() - self._began)
        tell_landed(self._parts, waiting, self._ledger)

    def _refused(self, outcome: str, staged: Staged) -> None:
        self._outcome(outcome)
        discard(self._parts, staged)

    def _outcome(self, outcome: str) -> None:
        self._parts.metrics.add("k2_writer_commits_total", data_type=self._parts.data_type.name, outcome=outcome)

    def _conflict(self, error: CommitConflictError) -> None:
        self._conflicts += 1
        self._parts.logger.warning("commit conflict data_type=%s error=%s", self._parts.data_type.name, error)
        if self._conflicts >= self._parts.settings.conflicts:
            self._conflicts = 0
            raise error
