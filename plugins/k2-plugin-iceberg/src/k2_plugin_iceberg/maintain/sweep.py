"""Deleting files that no living snapshot reaches, once nobody can need them.

    unreachable, held by a snapshot before   deleted when seen unreachable for `grace_s`: longer than any reader's pin
    unreachable, never held                  a crash's leftover or a commit under way: deleted at the age of
                                             `orphan_grace_s`, and seen unreachable for `grace_s`

When a file was first seen unreachable stands in `k2-unreachable.json` in the table's folder. Files are listed before
the metadata is read, so that whatever is committed meanwhile is either not listed or reachable. Survived: a crash
anywhere (the record is replaced atomically; losing it only makes files wait again), a writer that was frozen with
staged files (its base is outdated by a swap before orphans are deleted, and it looks for its files before it commits).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from k2_plugin_iceberg.files import local, sync_folders
from k2_plugin_iceberg.maintain.inventory import Inventory

if TYPE_CHECKING:
    from collections import deque

    from k2_plugin_iceberg.settings import IcebergSettings
    from k2_plugin_iceberg.state import Base, TableState

RECORD = "k2-unreachable.json"
SWEPT = "k2.swept"
_SUFFIXES = (".parquet", ".avro", ".metadata.json")


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A file that no snapshot reaches.

    Args:
        path: Where it lies.
        size: Its bytes.
        changed_ms: When it was written, Unix ms.
        since_ms: When it was first seen unreachable.
        held: Whether a snapshot held it before.
    """

    path: str
    size: int
    changed_ms: int
    since_ms: int
    held: bool


class Sweep:
    """Finds and deletes one table's unreachable files."""

    def __init__(self, state: TableState, inventory: Inventory, dropped: deque[str], settings: IcebergSettings) -> None:
        self._state, self._inventory, self._dropped, self._settings = state, inventory, dropped, settings
        self._reached: set[str] = set()

    def run(self, *, dry_run: bool) -> dict[str, int]:
        """Delete what is due (with `dry_run` only count it) and remember what is not."""
        root = local(self._state.folder)
        listed = list(_listed(root))
        base = self._state.read()
        reachable = self._reachable(base)
        now_ms = self._state.clock.now_ms()
        lost = list(self._unreachable(root, [f for f in listed if f[0] not in reachable], now_ms))
        due = [f for f in lost if self._due(f, now_ms)]
        if not dry_run:
            self._delete(base, due)
            gone = {f.path for f in due}
            _write_record(root, [f for f in lost if f.path not in gone])
            self._reached = reachable
        return {
            "files_unreachable": len(lost),
            "files_deleted": len(due),
            "bytes_deleted": sum(f.size for f in due),
        }

    def _reachable(self, base: Base) -> set[str]:
        logged = {e.metadata_file for e in base.metadata.metadata_log}
        found = {*self._inventory.reachable(base.metadata), base.location, *logged}
        return {str(local(path)) for path in found}

    def _unreachable(self, root: Path, files: Iterable[tuple[str, int, int]], now_ms: int) -> Iterator[Unreachable]:
        before = _read_record(root)
        dropped = {str(local(path)) for path in list(self._dropped)}
        for path, size, changed_ms in files:
            since_ms, held = before.get(path, (now_ms, False))
            yield Unreachable(path, size, changed_ms, since_ms, held or path in self._reached or path in dropped)

    def _due(self, file: Unreachable, now_ms: int) -> bool:
        if now_ms - file.since_ms < self._settings.grace_s * 1000:
            return False
        return file.held or now_ms - file.changed_ms >= self._settings.orphan_grace_s * 1000

    def _delete(self, base: Base, due: list[Unreachable]) -> None:
        if any(not f.held for f in due):
            properties = {**base.metadata.properties, SWEPT: str(self._state.now_ms(base))}
            if self._state.swap(base, properties=properties) is None:
                due = [f for f in due if f.held]  # the table moved: orphans wait for the next run
        for file in due:
            Path(file.path).unlink(missing_ok=True)


def _listed(root: Path) -> Iterator[tuple[str, int, int]]:
    """Path, bytes and time of change (Unix ms) of every file of a kind that snapshots hold."""
    for part in ("data", "metadata"):
        for folder, _, names in os.walk(root / part):
            for name in names:
                if name.endswith(_SUFFIXES):
                    path = os.path.join(folder, name)
                    try:
                        facts = os.stat(path)
                    except FileNotFoundError:  # older metadata, deleted by a commit meanwhile
                        continue
                    yield path, facts.st_size, int(facts.st_mtime * 1000)


def _read_record(root: Path) -> dict[str, tuple[int, bool]]:
    try:
        found = json.loads((root / RECORD).read_bytes())
    except (FileNotFoundError, ValueError):  # absent, or torn: every file then waits its grace again
        return {}
    return {str(root / path): (int(since), bool(held)) for path, (since, held) in found.items()}


def _write_record(root: Path, files: list[Unreachable]) -> None:
    text = json.dumps({os.path.relpath(f.path, root): [f.since_ms, f.held] for f in files})
    new = root / f"{RECORD}.{os.getpid()}"
    new.write_text(text)
    new.replace(root / RECORD)
    sync_folders([root])
