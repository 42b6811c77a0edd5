"""Looks at parts that may be frozen or away, all at once and not for ever: whoever does not answer is left behind.

A look that only waits is given up when its time is over. One that computes (a library that is being loaded on a busy
machine) is not: it gets up to `LONGEST_S`. What was found until then is told in any case.
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
    """

    name: str
    find: Callable[[], Iterable[Finding]]
    repair: str
    after: str = ""


@dataclass(slots=True)
class _Looking:
    look: Look
    before: _Looking | None
    found: list[Finding] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def well(self) -> bool:
        """Whether it ended and found nothing wrong."""
        return self.done.is_set() and all(finding.ok for finding in self.found)

    def run(self) -> None:
        try:
            if self.before is not None:
                self.before.done.wait()
            for finding in _told(self.look) if self.before is None or self.before.well else ():
                self.found.append(finding)
        finally:
            self.done.set()

    def told(self, answer_s: float) -> Iterator[Finding]:
        """What was found, and whether that is all."""
        ended = self.done.is_set()
        yield from list(self.found)
        if not ended and (self.before is None or self.before.well):
            yield Finding(self.look.name, False, f"no answer within {answer_s:g} s", self.look.repair)


def together(looks: Sequence[Look], clock: Clock, answer_s: float = ANSWER_S) -> Iterator[Finding]:
    """Look at everything at once, and tell it in the order given.

    Args:
        looks: What to look at.
        clock: For the time that has passed.
        answer_s: Who has only waited for so long does not answer.
    """
    running: list[_Looking] = []
    for look in looks:
        running.append(_Looking(look, next((one for one in running if one.look.name == look.after), None)))
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


def _told(look: Look) -> Iterator[Finding]:
    """What a look finds; where it fails, why."""
    try:
        yield from look.find()
    except (ConfigError, PluginError) as error:
        # Settings and plugins describe the part; where they are wrong, it is not the part that is damaged.
        yield Finding(look.name, False, f"not looked at: {error}", "mend that first, then k2 doctor again")
    except K2Error as error:
        repair = (
            "start what does not answer, or correct its address in k2.toml" if isinstance(error, Away) else look.repair
        )
        yield Finding(look.name, False, str(error), repair)
    except OSError as error:
        yield Finding(look.name, False, str(error), look.repair)
    except Exception as error:  # noqa: BLE001 - a plugin's mistake is a finding too
        yield Finding(look.name, False, f"{type(error).__name__}: {error}", look.repair)
