"""`patiently`: what a busy log refuses at a process's start is asked again for a while, as it is later on.

The log is busy where its lock is held for long: a disk that stalls, a process that was stopped in the middle of a write.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from k2core.cli.processes import Process
from k2core.errors import LogBusyError

T = TypeVar("T")
PAUSE_S = 0.2


def patiently(self: Process, act: Callable[[], T]) -> T:
    """What `act` returns, asked again while the log is busy, for `[run] start_s` at most or until told to stop.

    Args:
        self: The process that starts; its status is kept fresh.
        act: May be called several times.

    Raises:
        LogBusyError: The log stayed busy.
    """
    clock = self.assembly.clock
    ends = clock.monotonic() + self.assembly.config.run.start_s
    while True:
        try:
            return act()
        except LogBusyError as error:
            if clock.monotonic() >= ends or self.signals.stopping.wait(PAUSE_S):
                raise
            self.logger.warning("the log is busy, asking again error=%s", error)
            self.status.publish("starting")
