"""Where recordings lie and what their files are called.

`<path>/<exchange>/<start, UTC>-<instance>-<process>-<n>.arrows`, so that names sort by time. A file that is still
written, or was left by a crash, ends in `.part`; a sealed one has its SHA-256 beside it, as `sha256sum -c` reads it.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

from k2core.errors import ConfigError

SEALED, OPEN, DIGEST, LINES = ".arrows", ".part", ".sha256", ".gz"
"""Endings: sealed files, open or torn ones, digests, and gzipped lines of `<Unix ns> <frame>` from elsewhere."""


def session(started_ns: int, instance: str) -> str:
    """Names one run of one connector."""
    moment = datetime.fromtimestamp(started_ns // 1_000_000_000, UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{started_ns % 1_000_000_000 // 1000:06d}Z-{instance}-{os.getpid()}"


def file_name(session: str, number: int) -> str:
    """Name of a session's n-th file while it is written."""
    return f"{session}-{number:06d}{SEALED}{OPEN}"


def sealed_name(path: Path) -> Path:
    """What a finished file is called."""
    return path.with_name(path.name.removesuffix(OPEN))


def digest_file(path: Path) -> Path:
    """Where a sealed file's digest stands."""
    return path.with_name(path.name + DIGEST)


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def recordings(path: Path) -> list[Path]:
    """Every file of a recording, oldest first.

    Args:
        path: A file, or a folder with all below it.

    Raises:
        ConfigError: There is none.
    """
    found = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file() and _is_recording(p)]
    if not found:
        said = "there is no such file or folder" if not path.exists() else "no recording in it"
        raise ConfigError(f"{path}: {said}; `k2 record` makes files that end in {SEALED}, others' end in {LINES}")
    return sorted(found, key=lambda p: (p.name, str(p)))


def _is_recording(path: Path) -> bool:
    return path.name.endswith((SEALED, SEALED + OPEN, LINES))
