"""Named crash points: where tests kill the writer with `kill -9`, from outside the code that they judge.

With `K2_CRASH_AT=name` in the environment the process kills itself at that point, with `K2_CRASH_AFTER=n` the n-th time
that it comes by. The points are `before-write`, `after-files`, `after-commit`, `before-settle`.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

POINTS = ("before-write", "after-files", "after-commit", "before-settle")
_PASSED: Counter[str] = Counter()


def crash_point(name: str) -> None:
    """Die here if the environment says so; nothing is flushed, closed or said."""
    if os.environ.get("K2_CRASH_AT") != name:
        return
    _PASSED[name] += 1
    if _PASSED[name] >= int(os.environ.get("K2_CRASH_AFTER", "1")):
        os.kill(os.getpid(), signal.SIGKILL)
