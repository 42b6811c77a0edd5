"""`Lane`: one pipeline within a process: started, stepped, committed, backed off, and given up when it must be.

A pipeline that fails stops alone. What may pass is tried again after a growing pause, for ever (a bounded number of
times once it is to end); what cannot (`Permanent`, fenced, an error that is none of k2's) ends the lane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from k2core.errors import FencedError, K2Error, Permanent, Transient
from k2core.interfaces.broker import Partition
from k2core.writer.pipeline import WriterPipeline


class Lane:
    """Drives one pipeline; never raises for what the pipeline raises."""

    def __init__(self, pipeline: WriterPipeline) -> None:
        self.pipeline = pipeline
        self.error: BaseException | None = None
        self.target: Mapping[Partition, int] | None = None
        self._aiming = False
        self._busy_at = float("-inf")
        self._failures = 0
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
    def fenced(self) -> bool:
        """Whether another writer owns everything that it owned."""
        return isinstance(self.error, FencedError)

    def advance(self) -> bool:
        """Start, or read once and commit if due.

        Returns:
            Whether there is more to do at once.
        """
        return self.alive and self._now() >= self._resume_at and self._guarded(self._advance)

    def finished(self) -> bool:
        """Whether everything below the target is committed; a dead lane never gets further."""
        if not self.alive:
            return True
        if self._aiming or self.target is None or not self.pipeline.started or self._failures:
            return False
        return not self.pipeline.waiting and self.pipeline.reached(self.target)

    def aim(self) -> None:
        """Aim at the log's end as it is at the next `advance`."""
        self._aiming = True

    def give_up(self, error: K2Error) -> None:
        """End the lane."""
        self.error = self.error or error

    def measure(self) -> Mapping[Partition, int]:
        """Records in the log beyond the table, by partition; empty where the log cannot tell."""
        found: dict[Partition, int] = {}

        def ask() -> bool:
            found.update(self.pipeline.lag() if self.pipeline.started else {})
            return False

        self._guarded(ask, counts=False)
        return found

    def _advance(self) -> bool:
        pipeline = self.pipeline
        if self._aiming:
            self.target = pipeline.parts.broker.ends(pipeline.parts.topics)
            self._aiming = False
        if not pipeline.started:
            pipeline.start()
            pipeline.parts.logger.info("writing data_type=%s owner=%s", self.name, pipeline.parts.owner)
            return True
        read = pipeline.step(0)
        if pipeline.due(self._now()) or (pipeline.waiting and self._complete(read)):
            pipeline.commit()
        self._look(busy=read or bool(pipeline.waiting))
        return read

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
            if counts or isinstance(error, Permanent):  # an idle pipeline learns only here that its log was replaced
                self._fail(error)
            return False
        except Exception as error:
            self.pipeline.parts.logger.exception("pipeline broke data_type=%s", self.name)
            self.error = error
            return False
        if counts:
            self._failures = 0
        return more

    def _fail(self, error: K2Error) -> None:
        logger, settings = self.pipeline.parts.logger, self.pipeline.parts.settings
        self._failures += 1
        ending = self._aiming or self.target is not None
        if isinstance(error, Permanent) or (ending and self._failures >= settings.drain_tries):
            self.error = error
            if not self.fenced:  # that one ends the process with this very message: once is enough
                logger.error("pipeline stopped data_type=%s error=%s: %s", self.name, type(error).__name__, error)
            return
        asked = error.retry_after if isinstance(error, Transient) else None
        longest, doubled = settings.retry_longest_s, 2.0 ** min(self._failures - 1, 30)
        pause = asked or min(longest, settings.retry_first_s * doubled)
        self._resume_at = self._now() + pause
        logger.warning("trying again data_type=%s in_s=%.1f error=%s", self.name, pause, error)

    def _now(self) -> float:
        return self.pipeline.parts.clock.monotonic()
