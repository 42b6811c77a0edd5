"""Looks at parts that may be frozen or away, all at once and not for ever: whoever does not answer is left behind.

A look that only waits is given up when its time is over. One that computes (a library that is being loaded on a busy
machine) is not: it gets up to `LONGEST_S`. What was found until then is told in any case. One cause is told once: a look
that met the fault that another one is about says that it was not made.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from k2core.clock import Clock
from k2core.errors import Away, ConfigError, K2Error, PluginError
from k2core.interfaces.checks import Finding

ANSWER_S = 1.8
LONGEST_S = 30.0
STEP_S = 0.05
QUIET_STEPS = 3
"""So many steps in a row without anybody computing: all wait for others."""
TASKS = Path("/proc/self/task")


@dataclass(frozen=True, slots=True)
class Look:
    """One part to look at.

    Args:
        name: Of the finding, where it cannot be looked at.
        find: Looks; may block for ever.
        repair: What to do where it does not answer, or is damaged.
        after: Name of an earlier look without which this one makes no sense: it is left out where that finds a fault.
        upon: Name of an earlier look at what this one needs: where that finds a fault, this one tells none of a part
            that is away.
        may_miss: Whether it looks at no part of its own, but compares parts that others look at: no end in time is
            "not checked" then, and no fault.
    """

    name: str
    find: Callable[[], Iterable[Finding]]
    repair: str
    after: str = ""
    upon: str = ""
    may_miss: bool = False


@dataclass(slots=True)
class _Looking:
    look: Look
    before: _Looking | None
    upon: _Looking | None = None
    found: list[Finding] = field(default_factory=list)
    unreached: Finding | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def well(self) -> bool:
        """Whether it ended and found nothing wrong."""
        return self.done.is_set() and self.unreached is None and all(finding.ok for finding in self.found)

    @property
    def cause(self) -> str:
        """What is to be mended first, where this look did not end well."""
        for one in (self.before, self.upon):
            if one is not None and not one.well:
                return one.cause
        return next((finding.name for finding in self.found if not finding.ok), self.look.name)

    def run(self) -> None:
        try:
            if self.before is not None:
                self.before.done.wait()
            if self.before is None or self.before.well:
                self._look()
        finally:
            self.done.set()

    def _look(self) -> None:
        """See what it finds; where it fails, why."""
        look = self.look
        try:
            for finding in look.find():
                self.found.append(finding)  # one by one, for it may stop for ever between two
        except (ConfigError, PluginError) as error:
            # Settings and plugins describe the part; where they are wrong, it is not the part that is damaged.
            text = f"not looked at: {error}"
            self.found.append(Finding(look.name, False, text, "mend that first, then k2 doctor again"))
        except (K2Error, OSError) as error:
            if isinstance(error, Away):
                start = "start what does not answer, or correct its address in k2.toml"
                self.unreached = Finding(look.name, False, str(error), start)
            else:
                self.found.append(Finding(look.name, False, str(error), look.repair))
        except Exception as error:  # noqa: BLE001 - a plugin's mistake is a finding too
            self.found.append(Finding(look.name, False, f"{type(error).__name__}: {error}", look.repair))

    def told(self, answer_s: float) -> Iterator[Finding]:
        """What was found, and whether that is all."""
        ended, found, unreached = self.done.is_set(), list(self.found), self.unreached
        if self.before is not None and not self.before.well:
            yield self._not_made()
            return
        yield from found
        if not ended:
            unreached = self._missed(answer_s)
        if unreached is not None:
            yield unreached if self.upon is None or self.upon.well else self._not_made()

    def _missed(self, answer_s: float) -> Finding:
        name, repair = self.look.name, self.look.repair
        if self.look.may_miss:
            return Finding(name, True, f"not checked: no end within {answer_s:g} s; {repair}", checked=False)
        return Finding(name, False, f"no answer within {answer_s:g} s", repair)

    def _not_made(self) -> Finding:
        return Finding(self.look.name, True, f"not checked: mend {self.cause} first", checked=False)


def together(looks: Sequence[Look], clock: Clock, answer_s: float = ANSWER_S) -> Iterator[Finding]:
    """Look at everything at once, and tell it in the order given.

    Args:
        looks: What to look at.
        clock: For the time that has passed.
        answer_s: Who has only waited for so long does not answer.
    """
    running: list[_Looking] = []
    for look in looks:
        made = {one.look.name: one for one in running}
        running.append(_Looking(look, made.get(look.after), made.get(look.upon)))
    for one in running:  # daemons: one that never comes back must not keep the process
        threading.Thread(target=one.run, name=f"look {one.look.name}", daemon=True).start()
    _wait([one.done for one in running], clock, answer_s)
    for one in running:
        yield from one.told(answer_s)


def _wait(events: Sequence[threading.Event], clock: Clock, answer_s: float) -> None:
    began, quiet = clock.monotonic(), 0
    while not all(event.is_set() for event in events):
        next(event for event in events if not event.is_set()).wait(STEP_S)
        waited = clock.monotonic() - began
        quiet = 0 if _computing() else quiet + 1
        if waited >= LONGEST_S or (waited >= answer_s and quiet >= QUIET_STEPS):
            return


def _computing() -> bool:
    """Whether another thread of this process computes, or would if it were given a CPU; False where nobody can tell."""
    own = str(threading.get_native_id())
    try:
        states = [
            (task / "stat").read_text().rpartition(")")[2].split()[0] for task in TASKS.iterdir() if task.name != own
        ]
    except OSError:
        return False
    return any(state in "RD" for state in states)
