"""`Supervisor`: minds the children of `k2 up` until it is told to stop, then stops them in order.

A child that dies is started again, visibly, later each time; one that was fenced (exit code 4) is not, for somebody
else does its work; one that cannot work with these settings (exit code 2) stops everything. A child that stays silent
is wedged: it is killed and started again. On the first SIGTERM or SIGINT the children are stopped one after the other,
in the order given, within one time limit; a second signal ends everything at once. Time is the clock's monotonic one,
so that a laptop that slept does not find its children wedged.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from k2core.cli.child import Child, ChildSpec, word_exit
from k2core.clock import Clock
from k2core.telemetry.metrics import Metrics
from k2core.telemetry.status import Status, StatusFile, read_statuses

FENCED, SETTINGS = 4, 2
TELL_MS = 2_000
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times of minding, in seconds.

    Args:
        wedged: Silence that counts as wedged.
        starting: Silence that is allowed after a start.
        drain: Time for stopping all children.
        first_pause: Pause before the first restart; doubles with every quick death.
        longest_pause: It grows no further.
        stable: A life that long is no quick death.
        tick: How often children are looked at.
    """

    wedged: float = 15
    starting: float = 120
    drain: float = 25
    first_pause: float = 0.5
    longest_pause: float = 10
    stable: float = 30
    tick: float = 0.1


@dataclass(slots=True)
class Ending:
    """How it ended.

    Args:
        code: Exit code.
        cut_short: Children that had to be killed while they still had work.
        fenced: Children that were fenced for good.
        deadline: Monotonic time until which stopping may take.
    """

    code: int = 0
    cut_short: list[str] = field(default_factory=list)
    fenced: list[str] = field(default_factory=list)
    deadline: float = 0.0


class Supervisor:
    """Minds children. Runs in the main thread; signals and `stop` may come at any time."""

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        folder: Path,
        clock: Clock,
        limits: Limits,
        say: Callable[[str], None],
        relay: Callable[[str], None],
        tick: Callable[[dict[str, Status]], None] = lambda _: None,
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics = metrics or Metrics()
        self._children = [Child(spec, relay) for spec in specs]
        self._folder, self._clock, self._limits = folder, clock, limits
        self._say, self._tick = say, tick
        self._asked = 0  # how often a signal asked to stop
        self._woken, self._wakes = os.pipe()  # a pipe, for locks are not safe within a signal
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wakes, False)
        self._heard: dict[str, tuple[int | None, int, float]] = {}  # name → pid, last at_ms, when it changed
        self._failure: int | None = None
        self._fenced: dict[str, str] = {}
        self._wedged: set[str] = set()

    def run(self) -> Ending:
        """Start the children and mind them until a signal comes or one cannot work."""
        nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        heard = [number for number in SIGNALS if not (nohup and number == signal.SIGHUP)]
        before = {number: signal.signal(number, self._on_signal) for number in heard}
        try:
            while not self._asked and self._failure is None:
                self._mind()
                self._wait(self._limits.tick)
            return self._stop()
        finally:
            for child in self._children:
                child.signal(signal.SIGKILL)
            for number, old in before.items():
                signal.signal(number, old)
            os.close(self._woken)
            os.close(self._wakes)

    def stop(self) -> None:
        """As the first signal does."""
        self._asked += 1
        with contextlib.suppress(BlockingIOError):
            os.write(self._wakes, b"!")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop()

    def _wait(self, seconds: float) -> None:
        if select.select([self._woken], [], [], seconds)[0]:
            os.read(self._woken, 64)

    def _mind(self) -> None:
        now = self._clock.monotonic()
        statuses = read_statuses(self._folder)
        for child in self._children:
            if child.process is None:
                if child.next_start is not None and now >= child.next_start:
                    child.start(now)
                    self._metrics.add("k2_up_child_starts_total", child=child.name)
            elif not child.alive:
                self._on_death(child, child.reap(), statuses.get(child.name))
            elif self._silent_for(child, statuses.get(child.name), now):
                self._wedged.add(child.name)
                child.signal(signal.SIGKILL)  # its death is seen at the next look
            self._metrics.set("k2_up_child_running", int(child.alive), child=child.name)
        self._tell_fenced(statuses)
        self._tick(statuses)

    def _tell_fenced(self, statuses: dict[str, Status]) -> None:
        """Keep saying in a fenced child's stead that it does not work, unless whoever took over says how it is."""
        for name, why in self._fenced.items():
            status = statuses.get(name)
            age_ms = self._clock.now_ms() - status.at_ms if status else TELL_MS
            if age_ms >= TELL_MS or (status and status.state in ("failed", "stopped") and status.pid != os.getpid()):
                detail = f"fenced, nothing is written by this k2 up: {why}"
                StatusFile(self._folder, name, self._clock, Metrics()).publish("failed", detail)

    def _silent_for(self, child: Child, status: Status | None, now: float) -> bool:
        """Whether a child is wedged; says so."""
        pid, at_ms, changed = self._heard.get(child.name, (None, 0, 0.0))
        if pid != child.pid:  # nothing was heard in this life
            at_ms, changed = 0, child.started_at
        own = status if status is not None and status.pid == child.pid else None
        if own and own.at_ms != at_ms:
            at_ms, changed = own.at_ms, now
        self._heard[child.name] = (child.pid, at_ms, changed)
        limit = self._limits.wedged
        # A window that is built from a large table takes its time; another `k2 write` in this folder covers this one's file.
        if own is None or own.state == "starting":
            limit = max(limit, self._limits.starting)
        silent = now - changed
        if silent > limit:
            self._say(f"{child.name} (pid {child.pid}) has said nothing for {silent:.0f} s: it is wedged, killing it")
        return silent > limit

    def _on_death(self, child: Child, code: int, status: Status | None) -> None:
        wedged = "wedged" if child.name in self._wedged else "died"
        self._wedged.discard(child.name)
        reason = {FENCED: "fenced", SETTINGS: "settings"}.get(code, wedged)
        self._metrics.add("k2_up_child_deaths_total", child=child.name, reason=reason)
        if code == FENCED:
            self._fenced[child.name] = last_word(child, status)
            self._say(f"{child.name} was fenced and is not started again: {self._fenced[child.name]}")
        elif code == SETTINGS:
            self._say(f"{child.name} cannot run: {last_word(child, status)}")
            self._failure = SETTINGS
        else:
            pause = self._pause(child)
            self._say(
                f"{child.name} died ({word_exit(code)}); starting it again in {pause:g} s: life {child.starts + 1}"
            )
            child.next_start = self._clock.monotonic() + pause

    def _pause(self, child: Child) -> float:
        lived = self._clock.monotonic() - child.started_at
        child.quick_deaths = 0 if lived >= self._limits.stable else child.quick_deaths + 1
        return min(self._limits.longest_pause, self._limits.first_pause * 2.0 ** max(0, child.quick_deaths - 1))

    def _stop(self) -> Ending:
        ending = Ending(self._failure or (FENCED if self._fenced else 0), fenced=list(self._fenced))
        deadline = ending.deadline = self._clock.monotonic() + self._limits.drain
        for number, child in enumerate(self._children):
            later = len(self._children) - number - 1
            until = deadline - later * self._limits.drain * 0.1  # those after it keep a share of the time
            if child.alive and not self._stop_one(child, until):
                ending.cut_short.append(child.name)
        return ending

    def _stop_one(self, child: Child, until: float) -> bool:
        """Stop one child; False where it had to be killed: its time was up, or a second signal came."""
        if self._asked < 2:
            self._say(f"stopping {child.name}")
            child.signal(signal.SIGTERM)
        while child.alive and self._clock.monotonic() < until and self._asked < 2:
            self._wait(self._limits.tick / 4)
        done = not child.alive
        child.signal(signal.SIGKILL)
        child.reap()
        return done


def last_word(child: Child, status: Status | None) -> str:
    """What a dead child said last: its own detail, else its last line on stderr."""
    if status is not None and status.detail and status.state == "failed":
        return status.detail
    return child.last_line.removeprefix("error: ") or "it did not say why"
