"""A disk that forgets at a power cut what nobody synced: file contents, and names in folders.

Linux's promise, taken literally: `fsync` of a file keeps its bytes, `fsync` of a folder keeps the names in it; all else
may be gone, so here it is. The SQL catalog syncs by itself (synchronous=FULL, in SQLite's own C) and is left alone.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any


class PowerCut(BaseException):
    """Nothing runs any more."""


class Disk:
    """Stands for the `os` of the module that writes files.

    Args:
        root: The folder that is watched; it exists and is durable itself.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.left = root, -1
        self._sizes: dict[Path, int] = {}
        self._names: dict[Path, set[str]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fsync(self, fd: int) -> None:
        """Sync a file or a folder, unless the power goes now."""
        if self.left == 0:
            raise PowerCut
        self.left -= 1
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        if path.is_dir():
            self._names[path] = set(os.listdir(path))
        else:
            self._sizes[path] = path.stat().st_size

    def cut(self) -> int:
        """The power was gone: what was not durable is no more; the number of files lost."""
        lost = 0
        for path in sorted(self.root.rglob("*")):
            if path.name.startswith("catalog.db") or not path.exists():
                continue
            named = path.name in self._names.get(path.parent, ())
            if path.is_dir() and not named:
                lost += sum(p.is_file() for p in path.rglob("*"))
                shutil.rmtree(path)
            elif path.is_file() and not (named and self._sizes.get(path) == path.stat().st_size):
                lost += 1
                path.unlink()
        self.left = -1
        return lost
