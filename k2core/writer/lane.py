"""`Lane`: one pipeline within a process: started, stepped, committed, backed off, and given up when it must be.

A pipeline that fails stops alone. What may pass is tried again after a growing pause, for ever (a bounded number of
times once it is to end); what cannot (`Permanent`, fenced, an error that is none of k2's) ends the lane.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from k2core.errors import BrokerAwayError, FencedError, K2Error, Permanent, Transient
from k2core.interfaces.broker import Partition
from k2core.writer.pipeline import WriterPipeline

STATES = ("starting", "running", "waiting", "failed", "fenced")
ASKED_S = 0.2
"""Pause between two looks at what others committed."""


class Lane:
    """Drives one pipeline; never raises for what the pipeline raises."""

    def __init__(self, pipeline: WriterPipeline) -> None:
        self.pipeline = pipeline
        self.error: BaseException | None = None
        self.target: Mapping[Partition, int] | None = None
        self._aiming = self._leaving = self._left = self._met = False
        self._elsewhere: Mapping[Partition, int] = {}
        self._busy_at = self._asked_at = float("-inf")
        self._failures = 0
        self._away = False
        self._resume_at = float("-inf")

    @property
    def name(self) -> str:
        """The data type's name."""
        return self.pipeline.parts.data_type.name

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.error is None

    @property
    def state(self) -> str:
        """`starting`, `running`, `waiting` (to try again), `failed`, `fenced`."""
        if self.error is not None:
            return "fenced" if self.fenced else "failed"
        if self._failures:
            return "waiting"
        return "running" if self.pipeline.started else "starting"

    @property
    def fenced(self) -> bool:
        """Whether another writer owns everything that it owned."""
        return isinstance(self.error, FencedError)

    def advance(self) -> bool:
        """Start, or read once and commit if due.

        Returns:
            Whether there is more to do at once.
        """
        if not self.alive:
            return False
        if self._now() >= self._resume_at:
            return self._guarded(self._advance)
        self._guarded(self._attend, counts=False)
        return False

    def finished(self) -> bool:
        """Whether everything below the target is committed, by whoever has to; a dead lane never gets further."""
        if not self.alive or self._left:
            return True
        if self._aiming or self._leaving or self.target is None or not self.pipeline.started or self._failures:
            return False
        return not self.pipeline.waiting and self.pipeline.reached(self.target) and not self._lacking(self.target)

    @property
    def progress(self) -> int:
        """Changes whenever something was read, or committed by anybody."""
        pipeline = self.pipeline
        return pipeline.waiting + sum(pipeline.committed.values()) - sum(self._elsewhere.values())

    def aim(self) -> None:
        """Aim at the log's end as it is at the next `advance`."""
        self._aiming = True

    def leave(self) -> None:
        """Come to an end: where partitions are shared, with what was read; the others go on with the rest."""
        self._leaving = True

    def give_up(self, error: K2Error) -> None:
        """End the lane."""
        self._end(error)

    def measure(self) -> Mapping[Partition, int]:
        """Records in the log beyond the table, by partition; empty where the log cannot tell, or was away just now."""
        found: dict[Partition, int] = {}
        if self._away and self.alive:
            return found  # to ask is to wait

        def ask() -> bool:
            found.update(self.pipeline.lag() if self.pipeline.started else {})
            return False

        self._guarded(ask, counts=False)
        return found

    def _advance(self) -> bool:
        pipeline = self.pipeline
        if self._aiming:
            self._take_aim()
        if not pipeline.started:
            pipeline.start()
            pipeline.parts.logger.info("writing data_type=%s owner=%s", self.name, pipeline.parts.owner)
            return True
        if self._leaving and pipeline.shared:
            return self._leave()
        if self._leaving:
            self._leaving = False
            self._take_aim()
        read = pipeline.step(0)
        if pipeline.due(self._now()) or (pipeline.waiting and self._complete(read)):
            pipeline.commit()
        self._look(busy=read or bool(pipeline.waiting))
        return read

    def _take_aim(self) -> None:
        self.target = self.pipeline.parts.broker.ends(self.pipeline.parts.topics)
        self._aiming = self._met = False

    def _leave(self) -> bool:
        if self.pipeline.waiting:
            self.pipeline.commit()
        self.pipeline.leave()
        self._left = True
        return False

    def _attend(self) -> bool:
        """While this one pauses, its place among others must not be lost, nor theirs wait for it."""
        self.pipeline.attend()
        return False

    def _lacking(self, target: Mapping[Partition, int]) -> bool:
        """Whether the table may lack something of what others own, or nobody yet; it is asked now and then."""
        if not self.pipeline.shared or self._met:
            return False
        now = self._now()
        if now - self._asked_at >= ASKED_S:
            self._asked_at = now
            self._guarded(lambda: self._ask(target), counts=False)
        return not self._met

    def _ask(self, target: Mapping[Partition, int]) -> bool:
        self._elsewhere = self.pipeline.elsewhere(target)
        self._met = not self._elsewhere  # for good: offsets never go back
        return False

    def _look(self, *, busy: bool) -> None:
        """An idle pipeline would only notice at its next record that somebody took over: it looks now and then."""
        now = self._now()
        if busy:
            self._busy_at = now
        elif now - self._busy_at >= self.pipeline.parts.settings.commit_interval_s:
            self._busy_at = now
            self.pipeline.check_owned()

    def _complete(self, read: bool) -> bool:
        return not read and self.target is not None and self.pipeline.reached(self.target)

    def _guarded(self, act: Callable[[], bool], *, counts: bool = True) -> bool:
        try:
            more = act()
        except K2Error as error:
            self._away = isinstance(error, BrokerAwayError)
            if counts or isinstance(error, Permanent):  # an idle pipeline learns only here that its log was replaced
                self._fail(error)
            return False
        except Exception as error:
            self.pipeline.parts.logger.exception("pipeline broke data_type=%s", self.name)
            self._end(error)
            return False
        if counts:
            self._failures, self._away = 0, False
        return more

    def _fail(self, error: K2Error) -> None:
        logger, settings = self.pipeline.parts.logger, self.pipeline.parts.settings
        self._failures += 1
        ending = self._aiming or self._leaving or self.target is not None
        if isinstance(error, Permanent) or (ending and self._failures >= settings.drain_tries):
            self._end(error)
            if not self.fenced:  # that one ends the process with this very message: once is enough
                logger.error("pipeline stopped data_type=%s error=%s: %s", self.name, type(error).__name__, error)
            return
        asked = error.retry_after if isinstance(error, Transient) else None
        longest, doubled = settings.retry_longest_s, 2.0 ** min(self._failures - 1, 30)
        parts = self.pipeline.parts
        parts.metrics.add("k2_writer_retries_total", data_type=self.name, reason=type(error).__name__)
        pause = asked or min(longest, settings.retry_first_s * doubled)
        self._resume_at = self._now() + pause
        logger.warning("trying again data_type=%s in_s=%.1f error=%s", self.name, pause, error)

    def _end(self, error: BaseException) -> None:
        """Nothing more is done; the others get what was ours."""
        self.error = self.error or error
        try:
            self.pipeline.leave()
        except K2Error as left:
            self.pipeline.parts.logger.warning("could not leave the others data_type=%s error=%s", self.name, left)

    def _now(self) -> float:
        return self.pipeline.parts.clock.monotonic()


def tell_lanes(lanes: Sequence[Lane]) -> None:
    """Set how many tables are in which state."""
    if lanes:
        metrics, states = lanes[0].pipeline.parts.metrics, Counter(lane.state for lane in lanes)
        for state in STATES:
            metrics.set("k2_writer_pipelines", states[state], state=state)
