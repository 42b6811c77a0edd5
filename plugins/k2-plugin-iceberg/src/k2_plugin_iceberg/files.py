"""Durable files: everything a catalog swap will point to is on disk, with its folder, before the swap.

pyiceberg syncs none of its files: after a power cut a catalog could name metadata that does not exist. Here every
file is synced when it is closed, and its folder after it (`SyncedFileIO` for what pyiceberg writes itself).
Survived: power cut at any point (the swap comes last, what it names is durable), `kill -9` (leftovers are orphans that
maintenance deletes). Only local paths are synced; other schemes go through pyiceberg's own file IO.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from pyiceberg.io import InputFile, OutputFile, OutputStream
from pyiceberg.io.pyarrow import PyArrowFileIO


def local(location: str) -> Path:
    """The path of a `file://` location (or of a bare path)."""
    return Path(location.removeprefix("file://"))


def sync_folders(folders: Iterable[Path]) -> None:
    """Make the names in these folders durable."""
    for folder in folders:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def make_folder(folder: Path) -> None:
    """Create a folder with its parents, durably."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    sync_folders(f.parent for f in missing)


def write_file(path: Path, data: bytes | memoryview) -> None:
    """Write a new file and sync its bytes; the caller syncs the folder before anything names the file."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        view = memoryview(data)
        while len(view):
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    except OSError:  # on a full disk: half a file helps nobody
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


class _Buffer(io.BytesIO):
    """An output stream that hands its bytes over when it is closed."""

    def __init__(self, target: MemoryOutput) -> None:
        super().__init__()
        self._target = target

    def close(self) -> None:
        if not self.closed:
            self._target.closed(self.getvalue())
        super().close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class MemoryOutput(OutputFile):
    """Collects a file's bytes in memory, so that the caller decides when and how they reach the disk."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.data = b""

    def closed(self, data: bytes) -> None:
        """The stream was closed with these bytes."""
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def exists(self) -> bool:
        """Whether the location exists on disk."""
        return local(self.location).exists()

    def create(self, overwrite: bool = False) -> OutputStream:
        """A stream into memory."""
        return _Buffer(self)

    def to_input_file(self) -> InputFile:
        """The same location, for reading from disk."""
        return PyArrowFileIO().new_input(self.location)


class _SyncedOutput(MemoryOutput):
    """Writes and syncs file and folder when its stream is closed."""

    def create(self, overwrite: bool = False) -> OutputStream:
        if overwrite:
            local(self.location).unlink(missing_ok=True)
        elif self.exists():
            raise FileExistsError(f"Cannot create file, already exists: {self.location}")
        return _Buffer(self)

    def closed(self, data: bytes) -> None:
        super().closed(data)
        path = local(self.location)
        make_folder(path.parent)
        write_file(path, data)
        sync_folders([path.parent])


class SyncedFileIO(PyArrowFileIO):
    """pyiceberg's file IO with durable writes for local files."""

    def new_output(self, location: str) -> Any:
        """An output file; local ones are synced with their folder when closed."""
        if location.startswith(("file://", "/")):
            return _SyncedOutput(location)
        return super().new_output(location)
