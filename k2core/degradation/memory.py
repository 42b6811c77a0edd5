"""How much of its memory limit this process uses: resident memory, as Linux tells it, against a limit.

The limit is a setting, else that of the control group (version 2 or 1), else a share of the machine's memory. Where the
system tells nothing the share is 0: then levels come from the lag alone.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

from k2core.degradation.settings import DegradationSettings

GROUP_LIMITS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")
NO_LIMIT = 1 << 60
"""Version 1 says a huge number where there is none."""


class Memory:
    """Asked for its share now and then.

    Args:
        settings: The limit.
        root: Where the system's files are; tests bring their own.
    """

    def __init__(self, settings: DegradationSettings, root: Path = Path("/")) -> None:
        self._statm = root / "proc/self/statm"
        self._page = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
        self.limit = settings.memory_limit_mb << 20 or limit_of(root, settings.memory_share)

    def used(self) -> int:
        """Resident bytes; 0 where the system does not tell."""
        try:
            return int(self._statm.read_text().split()[1]) * self._page
        except (OSError, IndexError, ValueError):
            return 0

    def share(self) -> float:
        """Of the limit; 0 where there is none."""
        return self.used() / self.limit if self.limit else 0.0

    def relieve(self) -> None:
        """Give back what is held for later use."""
        import pyarrow as pa

        gc.collect()
        pa.default_memory_pool().release_unused()


def limit_of(root: Path, share: float) -> int:
    """The limit in bytes where no setting names one; 0 where nothing can be learned."""
    limits = [found for name in GROUP_LIMITS if 0 < (found := _number(root / name)) < NO_LIMIT]
    total = _total(root)
    if limits and (not total or min(limits) < total):
        return min(limits)
    return int(total * share)


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max": no limit
        return 0


def _total(root: Path) -> int:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:")), 0)
