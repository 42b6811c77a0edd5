"""A child of `k2 up` dies with it, also when `k2 up` is killed with `kill -9`: nobody else would ever stop it.

Two ways together: on Linux the kernel's parent-death signal, which also ends a frozen child; everywhere the child's
stdin is a pipe that only `k2 up` holds open, so that its end tells. Ending at once is safe: the log and the table are
crash safe, and frames not yet in the log were never acknowledged to anybody.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1
VARIABLE = "K2_MINDED"
"""Set by `k2 up` for its children. It is no setting (it has no double underscore)."""


def die_with_parent() -> None:
    """Bind this process's life to its parent's. Call once, from the main thread, early."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    threading.Thread(target=_watch_stdin, name="orphan-watch", daemon=True).start()


def is_minded() -> bool:
    """Whether `k2 up` started this process."""
    return os.environ.get(VARIABLE) == "1"


def _watch_stdin() -> None:
    try:
        while os.read(0, 1024):
            continue
    except OSError:
        return  # stdin was closed by ourselves, on the way out
    os._exit(1)
