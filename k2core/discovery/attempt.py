"""`attempt`: calls into a plugin with a time limit, whatever it raises.

A plugin that sleeps, waits or loops is cut by an alarm, which works in the main thread, where every command discovers.
One that cannot be cut so (it swallows every exception, or hangs in C) ends the process, which says whose fault it is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

AGAIN_S = 0.25
"""So often a plugin that swallowed the alarm gets it again."""
GIVE_UP_S = 2.0
"""So long after the alarm a plugin may go on; then the process ends with `GAVE_UP`."""
GAVE_UP = 3


class Failed(Exception):  # noqa: N818 - says what happened; nobody but discovery sees it
    """A call into a plugin failed; `str()` says how, in words that follow the name of what was called."""


class TookTooLong(BaseException):
    """The alarm. No `Exception`, so that a plugin's own `except Exception` does not stop it."""


def attempt(call: Callable[[], T], limit_s: float, what: str) -> T:
    """Call into a plugin.

    Args:
        call: What to call.
        limit_s: Seconds after which it is cut off.
        what: The plugin and what of it is called, for the last word of a process that cannot cut it off.

    Raises:
        Failed: It raised anything, `SystemExit` included, or took too long.
        KeyboardInterrupt: The user wants to stop.
    """
    try:
        with bounded(limit_s, what):
            return call()
    except TookTooLong as error:
        raise Failed(f"did not end within {limit_s:g} s (run.plugin_timeout_s) and was cut off") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Failed(f"raised {worded(error)}") from error


def worded(error: BaseException) -> str:
    """An error as `Type: text`, also where its own text raises."""
    try:
        return f"{type(error).__name__}: {error}".rstrip(": ")
    except Exception:  # noqa: BLE001 - a broken plugin's broken exception is still named
        return type(error).__name__


@contextlib.contextmanager
def bounded(limit_s: float, what: str) -> Iterator[None]:
    """Raise `TookTooLong` in the body after `limit_s`; end the process where that does not help."""
    last = threading.Timer(limit_s + GIVE_UP_S, give_up, [what, limit_s + GIVE_UP_S])
    last.daemon = True
    last.start()
    try:
        with alarm(limit_s) if threading.current_thread() is threading.main_thread() else contextlib.nullcontext():
            yield
    finally:
        last.cancel()


@contextlib.contextmanager
def alarm(limit_s: float) -> Iterator[None]:
    """The process's real-time alarm for the body; somebody else's, which was running, goes on afterwards."""
    armed, began = True, time.monotonic()

    def ring(number: int, frame: FrameType | None) -> None:
        if armed:
            raise TookTooLong

    old = signal.signal(signal.SIGALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_REAL, limit_s, AGAIN_S)
    try:
        try:
            yield
        finally:
            armed = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - began)), interval)


def give_up(what: str, waited_s: float) -> None:
    """End this process: the plugin holds its main thread, and nothing else can be done."""
    text = f"error: {what} has not ended for {waited_s:g} s and cannot be cut off: uninstall or mend it\n"
    os.write(2, text.encode())
    os._exit(GAVE_UP)
