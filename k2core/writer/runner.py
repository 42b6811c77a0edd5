"""`run_writer`: the loop of `k2 write`: every pipeline in one thread, maintenance in another, until told to stop.

A pipeline that fails stops alone and the others go on; the result says so. On stop, all that the log holds by then is
committed within the drain's time; what does not fit stays in the log and is named.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from k2core.clock import Clock
from k2core.errors import BrokerError
from k2core.interfaces.broker import Partition
from k2core.writer.lane import Lane
from k2core.writer.pipeline import WriterPipeline
from k2core.writer.upkeep import Upkeep

IDLE_S, TICK_S = 0.05, 0.5
STALLED_S = 60.0
"""`--once` gives up after so long without a record read or a commit landed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterResult:
    """How it ended.

    Args:
        failed: By data type, the error that ended its pipeline.
        fenced: Data types that another writer took over.
        remaining: By data type, records per partition that are in the log and not in the table.
    """

    failed: Mapping[str, BaseException] = field(default_factory=dict)
    fenced: tuple[str, ...] = ()
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
    """
    loop = _Loop([Lane(p) for p in pipelines], stop, clock, on_tick)
    if upkeep is not None and not once:
        upkeep.start()
    try:
        if once:
            loop.aim()
            loop.catch_up()
        else:
            loop.write()
        if stop.is_set():
            loop.aim()
            loop.drain(clock.monotonic() + drain_s)
        return loop.result()
    finally:
        if upkeep is not None:
            upkeep.stop()


class _Loop:
    def __init__(self, lanes: list[Lane], stop: threading.Event, clock: Clock, on_tick: Callable[[str], None]) -> None:
        self._lanes, self._stop, self._clock, self._tick = lanes, stop, clock, on_tick
        self._ticked = float("-inf")

    def write(self) -> None:
        while not self._stop.is_set() and any(lane.alive for lane in self._lanes):
            busy = [lane.advance() for lane in self._lanes]
            self._tell(self._state())
            if not any(busy):
                self._stop.wait(IDLE_S)

    def _state(self) -> str:
        if any(lane.error is not None and not lane.fenced for lane in self._lanes):
            return "failed"
        return "running" if all(lane.pipeline.started or not lane.alive for lane in self._lanes) else "starting"

    def aim(self) -> None:
        for lane in self._lanes:
            lane.aim()

    def catch_up(self) -> None:
        """Commit up to the lanes' targets; a lane that gets no further has failed."""
        self.drain(float("inf"), self._stop.is_set)
        for lane in () if self._stop.is_set() else self._lanes:
            if not lane.finished():
                lane.give_up(BrokerError(f"{lane.name}: nothing more could be read or committed for {STALLED_S:.0f} s"))

    def drain(self, deadline: float, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Commit up to the lanes' targets, until a deadline or until nothing moves any more."""
        moved_at, progress = self._clock.monotonic(), self._progress()
        while not all(lane.finished() for lane in self._lanes) and not interrupted():
            busy = [lane.advance() for lane in self._lanes]
            if not any(busy):
                threading.Event().wait(IDLE_S / 5)
            now = self._clock.monotonic()
            if self._progress() != progress:
                moved_at, progress = now, self._progress()
            if now >= deadline or now - moved_at >= STALLED_S:
                return
            self._tell("draining")

    def result(self) -> WriterResult:
        remaining = {lane.name: dict(lane.measure()) for lane in self._lanes if lane.alive}
        return WriterResult(
            failed={lane.name: lane.error for lane in self._lanes if lane.error is not None and not lane.fenced},
            fenced=tuple(lane.name for lane in self._lanes if lane.fenced),
            remaining={name: left for name, left in remaining.items() if left},
        )

    def _progress(self) -> tuple[int, ...]:
        return tuple(lane.pipeline.waiting + sum(lane.pipeline.committed.values()) for lane in self._lanes)

    def _tell(self, state: str) -> None:
        now = self._clock.monotonic()
        if now - self._ticked >= TICK_S:
            self._ticked = now
            for lane in self._lanes:
                lane.measure()
            self._tick(state)
