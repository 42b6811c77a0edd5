"""How `k2` ends: with all that it printed handed over, and in time, whatever plugins left running.

What prints while Python shuts down (a plugin's `atexit`) does so on stderr: what `--json` printed stays JSON. A thread
that a plugin left behind gets `LEAVING_S` to end; the process then ends without it, and names it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import NoReturn

LEAVING_S = 0.4


def leave(code: int) -> NoReturn:
    """End the process with an exit code."""
    with contextlib.suppress(OSError, ValueError):  # the reader has left, or there never was a stdout or stderr
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.dup2(2, 1)
    last = threading.Timer(LEAVING_S, _at_once, [code])
    last.daemon = True
    last.start()
    sys.exit(code)


def _at_once(code: int) -> None:
    """End although threads run: this one only lives on while Python waits for them."""
    left = [t.name for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
    if left:
        os.write(2, f"note: not waited for threads that a plugin left behind: {', '.join(left)}\n".encode())
    os._exit(code)
