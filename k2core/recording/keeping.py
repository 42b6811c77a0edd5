"""Deletes sealed files that the settings no longer want kept; open ones are never touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from k2core.clock import Clock
from k2core.recording.names import SEALED, digest_file
from k2core.recording.settings import RecordingSettings

_DAY_S = 86_400


def prune(folder: Path, settings: RecordingSettings, clock: Clock) -> list[Path]:
    """Delete what is too old or too much, oldest first; what was deleted. The newest file always stays."""
    if settings.keep_days is None and settings.keep_bytes is None:
        return []
    sealed = sorted(folder.glob(f"*{SEALED}"))
    gone = list(_unwanted(sealed[:-1], sum(p.stat().st_size for p in sealed), settings, clock.now_ns() / 1e9))
    for path in gone:
        path.unlink(missing_ok=True)
        digest_file(path).unlink(missing_ok=True)
    return gone


def _unwanted(candidates: list[Path], total: int, settings: RecordingSettings, now_s: float) -> Iterator[Path]:
    oldest_s = now_s - settings.keep_days * _DAY_S if settings.keep_days is not None else 0.0
    for path in candidates:
        facts = path.stat()
        too_much = settings.keep_bytes is not None and total > settings.keep_bytes
        if not too_much and facts.st_mtime >= oldest_s:
            return
        total -= facts.st_size
        yield path
