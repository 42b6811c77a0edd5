"""`Tail`: the newest records of one data type, in memory, always from a snapshot of the table that still counts.

`advance` is called by one thread, in a loop; any number of threads read `view`, which is replaced whole. When the
snapshot that it started from is no longer in `main`'s ancestry, everything is built anew from the head, and the old
view stays published until the new one has read as far.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from k2core.admission.holes import Hole, HoleLedger
from k2core.clock import Clock
from k2core.config.settings import QuerySettings
from k2core.errors import OffsetGoneError, QueryError
from k2core.interfaces.broker import Broker, Offsets
from k2core.interfaces.query import SourceTable
from k2core.query.bell import Bell
from k2core.query.follower import Follower, Parts, RolledBackError, Taken
from k2core.query.freshness import Freshness
from k2core.query.view import View
from k2core.records.data_type import DataType
from k2core.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from k2core.admission import Admission

log = logging.getLogger("k2.serve")

SHOWN_HOLES = 1000

LOOK_S = 1.0
"""Seconds between two looks at the table."""

TABLE_METRICS = {
    "rows": "k2_table_rows", "files": "k2_table_files", "bytes": "k2_table_size_bytes",
    "snapshots": "k2_table_snapshots",
}  # fmt: skip
"""By what a source calls its figures."""


class Tail:
    """Follows the log of one data type.

    Args:
        data_type: Whose records.
        admission: Log blocks to rows, as the writer does it.
        broker: The log.
        source: The table.
        topics: Every topic that feeds the table.
        settings: Lengths and limits.
        clock: The time.
        metrics: Where rows and lag are told.
        find_topics: Asked now and then which topics feed the table by now; the tail is built anew when there are more.
        bell: How others wait for what it reads; a simulation brings its own.
    """

    def __init__(
        self,
        data_type: DataType,
        admission: Admission,
        broker: Broker,
        source: SourceTable,
        topics: Sequence[str],
        settings: QuerySettings,
        clock: Clock,
        metrics: Metrics,
        find_topics: Callable[[], Sequence[str]] | None = None,
        bell: Bell | None = None,
    ) -> None:
        self.parts = Parts(
            data_type=data_type, admission=admission, broker=broker, source=source,
            topics=tuple(topics), settings=settings, clock=clock,
        )  # fmt: skip
        self._metrics, self._find_topics = metrics, find_topics
        self._bell = bell or Bell()
        self._follower: Follower | None = None
        self._looked = self._asked = float("-inf")
        self._void = self._gone = False
        self._shown: int | None = -1
        self._read = 0
        self._whole_at = clock.monotonic()
        self._awaited: tuple[float, Offsets] | None = None
        self.freshness = Freshness(clock)
        self._ledger = HoleLedger()
        self.holes: tuple[Hole, ...] = ()
        self.missing: Mapping[str, int] = {}
        self.rebuilt = 0
        self.lag = 0

    @property
    def view(self) -> View:
        """What the tail shows now."""
        return self.follower.view

    @property
    def follower(self) -> Follower:
        """The current run over the log.

        Raises:
            QueryError: `starting`: the first `advance` has not returned yet.
        """
        if self._follower is None:
            name = self.parts.data_type.name
            raise QueryError(
                f"{name}: the tail is starting, ask again soon", kind="starting", status=503, retry_after=1
            )
        return self._follower

    @property
    def age_s(self) -> float:
        """How old the view is: seconds since all that the log held is in it; where all is well at most two."""
        return self.parts.clock.monotonic() - self._whole_at

    def advance(self, timeout: float) -> int:
        """Read what is new in the log and publish it; look at the table now and then.

        Args:
            timeout: Seconds to wait for the first record.

        Returns:
            The number of records read.
        """
        before = self._read
        try:
            if self._follower is None or self._void:
                self._build()
            self._poll(self.follower, timeout)
        except RolledBackError:
            self._void = True
        except OffsetGoneError as error:
            # Retention passed the tail: what it missed is in the table. Twice in a row, it is not, until a writer says so.
            self._void = True
            if self._gone:
                name = self.parts.data_type.name
                raise QueryError(
                    f"{name}: the log no longer holds what the table wants next; `k2 write` says how to go on ({error})",
                    kind="log-trimmed", status=503, retry_after=5,
                ) from error  # fmt: skip
            self._gone = True
        self._bell.ring()
        return self._read - before

    def wait(self, reached: Callable[[View], bool], timeout: float) -> bool:
        """Wait until a view satisfies a condition.

        Args:
            reached: The condition.
            timeout: Seconds to wait, at most.

        Returns:
            Whether it does.
        """
        return self._bell.wait(lambda: reached(self.view), timeout)

    def rolled_back(self) -> None:
        """Somebody saw that the tail's snapshot no longer counts: build anew at the next `advance`."""
        self._void = True

    def close(self) -> None:
        """Release what is held."""
        if self._follower is not None:
            self._follower.close()

    def _poll(self, follower: Follower, timeout: float) -> None:
        taken = follower.poll(timeout)
        self._gone = False
        if taken is not None:
            self._taken(taken)
            self._read += taken.records
            self._ledger.note(*taken.identities)
        now = self.parts.clock.monotonic()
        if now - self._looked >= LOOK_S:
            self._looked = now
            self._look(follower)
        self._arrive(follower.view)
        if self._find_topics is not None and now - self._asked >= self.parts.settings.topics_s:
            self._asked = now
            self._learn(tuple(self._find_topics()))

    def stalled(self) -> None:
        """Reading failed; whoever advances the tail tries again."""
        self._metrics.add("k2_serve_tail_stalls_total", data_type=self.parts.data_type.name)

    def _taken(self, taken: Taken) -> None:
        metrics, name, now_us = self._metrics, self.parts.data_type.name, self.parts.clock.now_us()
        metrics.observe_each("k2_serve_freshness_seconds", self.freshness.seen(taken.rows), data_type=name)
        metrics.add("k2_serve_tail_read_records_total", taken.records, data_type=name)
        metrics.add("k2_serve_tail_duplicates_total", taken.duplicates, data_type=name)
        for timestamp_us, count in taken.times:
            delay = max(0.0, (now_us - timestamp_us) / 1e6)
            metrics.observe("k2_serve_tail_delay_seconds", delay, count, data_type=name)
        newest_s = max(timestamp_us for timestamp_us, _ in taken.times) / 1e6
        metrics.set("k2_serve_tail_last_record_timestamp_seconds", newest_s, data_type=name)

    def _learn(self, topics: tuple[str, ...]) -> None:
        """Take in topics that were made since: of a connector added later, or of another data type of one."""
        if fresh := set(topics) - set(self.parts.topics):
            log.info("new topics data_type=%s topics=%s", self.parts.data_type.name, ",".join(sorted(fresh)))
            self.parts = replace(self.parts, topics=topics)
            self._void = True

    def _look(self, follower: Follower) -> None:
        self._void = self._void or not follower.see()
        ends = self.parts.broker.ends(self.parts.topics)
        name, view = self.parts.data_type.name, follower.view
        self.lag = sum(max(0, end - view.ends.get(p, 0)) for p, end in ends.items())
        if self._awaited is None or not self.lag:  # what an earlier look saw comes first: who catches up must arrive
            self._awaited = self._looked, ends
        self.holes, self.missing = tuple(self._ledger.missing()[-SHOWN_HOLES:]), self._ledger.totals()
        self._metrics.set("k2_serve_tail_rows", view.rows, data_type=name)
        self._metrics.set("k2_serve_tail_lag_records", self.lag, data_type=name)
        self._metrics.set("k2_serve_tail_bytes", view.size, data_type=name)
        self._look_at_table(view)

    def _arrive(self, view: View) -> None:
        """Where all that an earlier look saw in the log is in the view by now, the view is as old as that look."""
        if self._awaited is not None and all(view.ends.get(p, 0) >= end for p, end in self._awaited[1].items()):
            self._whole_at, self._awaited = self._awaited[0], None

    def _look_at_table(self, view: View) -> None:
        """Tell the table's figures where it has a new snapshot, and once at first."""
        if self._shown == view.seen.id:
            return
        self._shown, name = view.seen.id, self.parts.data_type.name
        for figure, value in self.parts.source.stats().items():
            if metric := TABLE_METRICS.get(figure):
                self._metrics.set(metric, value, data_type=name)
        when_s = view.seen.timestamp_ms / 1000
        self._metrics.set("k2_table_last_snapshot_timestamp_seconds", when_s, data_type=name)

    def _build(self) -> None:
        old, fresh = self._follower, Follower(self.parts, self._ledger)
        if old is not None:
            self.rebuilt += 1
            self._metrics.add("k2_serve_tail_rebuilds_total", data_type=self.parts.data_type.name)
            log.warning("tail rebuilt data_type=%s snapshot=%s", self.parts.data_type.name, fresh.view.seen.id)
            target = {} if self._gone else old.view.ends
            while any(fresh.view.ends.get(p, 0) < n for p, n in target.items()) and (taken := fresh.poll(0)):
                self._ledger.note(*taken.identities)
            old.close()
        for stream, seen in fresh.highest().items():
            self._ledger.start_at(stream, seen)
        self._follower, self._void, self._looked = fresh, False, float("-inf")
