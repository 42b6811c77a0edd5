"""`run_writer`: the loop of `k2 write`: every pipeline in one thread, maintenance in another, until told to stop.

A pipeline that fails stops alone and the others go on; the result says so. On stop, all that the log holds by then is
committed within the drain's time; what does not fit stays in the log and is named.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from k2core.clock import Clock
from k2core.config.settings import WriterSettings
from k2core.errors import BrokerError
from k2core.interfaces.broker import Partition
from k2core.writer.lane import Lane, tell_lanes
from k2core.writer.pipeline import WriterPipeline
from k2core.writer.upkeep import Upkeep

IDLE_S, TICK_S = 0.05, 0.5
"""Pause of a loop that found nothing to do, and between two calls of `on_tick`: granularity, no limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterResult:
    """How it ended.

    Args:
        failed: By data type, the error that ended its pipeline.
        fenced: Data types that another writer took over.
        fence: What the first of them said.
        remaining: By data type, records per partition that are in the log and not in the table.
    """

    failed: Mapping[str, BaseException] = field(default_factory=dict)
    fenced: tuple[str, ...] = ()
    fence: BaseException | None = None
    remaining: Mapping[str, Mapping[Partition, int]] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 done, 1 a pipeline failed, 4 another writer took over."""
        return 1 if self.failed else 4 if self.fenced else 0


def run_writer(
    pipelines: Sequence[WriterPipeline],
    stop: threading.Event,
    *,
    once: bool = False,
    clock: Clock,
    drain_s: float = 20.0,
    upkeep: Upkeep | None = None,
    on_tick: Callable[[str], None] = lambda state: None,
    find: Callable[[], Sequence[WriterPipeline]] = tuple,
    settings: WriterSettings | None = None,
) -> WriterResult:
    """Write until `stop` is set, every pipeline ended, or, with `once`, all is committed that the log held at first.

    Args:
        pipelines: Not started yet; the caller closes them.
        stop: Set it to drain and return.
        once: Stop when caught up.
        clock: The time.
        drain_s: Seconds to commit what the log holds once `stop` is set, at most.
        upkeep: Maintenance; started and stopped here.
        on_tick: Called about twice a second with the state: `starting`, `running`, `draining`; `failed` while others
            go on beside a pipeline that ended.
        find: Asked now and then for pipelines that topics made since call for: of a table that nobody writes yet, or
            of one that is written, to be written by the new one from now on. The caller closes those it is given.
        settings: Its limits of time; None: those of the first pipeline.
    """
    settings = settings or (pipelines[0].parts.settings if pipelines else WriterSettings.model_validate({}))
    loop = _Loop([Lane(p) for p in pipelines], stop, clock, on_tick, find, settings, upkeep)
    if upkeep is not None and not once:
        upkeep.start()
    try:
        return loop.run(once=once, drain_s=drain_s)
    finally:
        if upkeep is not None:
            upkeep.stop()


class _Loop:
    def __init__(
        self,
        lanes: list[Lane],
        stop: threading.Event,
        clock: Clock,
        on_tick: Callable[[str], None],
        find: Callable[[], Sequence[WriterPipeline]],
        settings: WriterSettings,
        upkeep: Upkeep | None,
    ) -> None:
        self._lanes, self._stop, self._clock, self._tick = lanes, stop, clock, on_tick
        self._find, self._settings, self._upkeep = find, settings, upkeep
        self._ticked = self._measured = float("-inf")
        self._looked = clock.monotonic()

    def run(self, *, once: bool, drain_s: float) -> WriterResult:
        if once:
            for lane in self._lanes:
                lane.aim()
            self.catch_up()
        else:
            self.write()
        if self._stop.is_set():
            for lane in self._lanes:
                lane.leave()
            self.drain(self._clock.monotonic() + drain_s)
        return self.result()

    def write(self) -> None:
        while not self._stop.is_set() and (not self._lanes or any(lane.alive for lane in self._lanes)):
            self._look()
            busy = [self._advanced(lane, self._state()) for lane in self._lanes]
            self._tell(self._state())
            if not any(busy):
                self._stop.wait(IDLE_S)

    def _look(self) -> None:
        """Take in what newer topics call for."""
        now = self._clock.monotonic()
        if now - self._looked < self._settings.topics_s:
            return
        self._looked = now
        for pipeline in self._find():
            name = pipeline.parts.name
            if any(not lane.alive for lane in self._lanes if lane.pipeline.parts.name == name):
                continue  # what ended it would end this one, or it was fenced: nobody asked for it back
            self._lanes = [lane for lane in self._lanes if lane.pipeline.parts.name != name]
            self._lanes.append(Lane(pipeline))
            if self._upkeep is not None:
                self._upkeep.put(name, pipeline.parts.table)

    def _state(self) -> str:
        if any(lane.error is not None and not lane.fenced for lane in self._lanes):
            return "failed"
        return "running" if all(lane.pipeline.started or not lane.alive for lane in self._lanes) else "starting"

    def catch_up(self) -> None:
        """Commit up to the lanes' targets; a lane that gets no further has failed."""
        self.drain(float("inf"), self._stop.is_set)
        for lane in () if self._stop.is_set() else self._lanes:
            if not lane.finished():
                lane.give_up(
                    BrokerError(
                        f"{lane.name}: nothing more could be read or committed for {self._settings.stalled_s:g} s"
                    )
                )

    def drain(self, deadline: float, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Commit up to the lanes' targets, until a deadline or until nothing moves any more."""
        moved_at, progress = self._clock.monotonic(), self._progress()
        while not all(lane.finished() for lane in self._lanes) and not interrupted():
            busy = [self._advanced(lane, "draining") for lane in self._lanes]
            if not any(busy):
                threading.Event().wait(IDLE_S / 5)
            now = self._clock.monotonic()
            if self._progress() != progress:
                moved_at, progress = now, self._progress()
            if now >= deadline or now - moved_at >= self._settings.stalled_s:
                return
            self._tell("draining")

    def result(self) -> WriterResult:
        remaining = {lane.name: dict(lane.measure()) for lane in self._lanes if lane.alive}
        return WriterResult(
            failed={lane.name: lane.error for lane in self._lanes if lane.error is not None and not lane.fenced},
            fenced=tuple(lane.name for lane in self._lanes if lane.fenced),
            fence=next((lane.error for lane in self._lanes if lane.fenced), None),
            remaining={name: left for name, left in remaining.items() if left},
        )

    def _progress(self) -> tuple[int, ...]:
        return tuple(lane.progress for lane in self._lanes)

    def _advanced(self, lane: Lane, state: str) -> bool:
        busy = lane.advance()
        self._beat(state)
        return busy

    def _tell(self, state: str) -> None:
        now = self._clock.monotonic()
        if now - self._measured >= TICK_S:
            self._measured = now
            for lane in self._lanes:
                lane.measure()
                self._beat(state)
            tell_lanes(self._lanes)
        self._beat(state)

    def _beat(self, state: str) -> None:
        """Say that the process lives: after every call that may wait for a log or catalog that does not answer."""
        now = self._clock.monotonic()
        if now - self._ticked >= TICK_S:
            self._ticked = now
            self._tick(state)
