"""What a file of a recording holds, and whether it is whole: every byte is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from k2core.errors import ConfigError
from k2core.recording.names import LINES
from k2core.recording.reader import RecordedFile, RecordingError, opened


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """One file.

    Args:
        state: `whole` (sealed, every checksum right), `open` (still written, or left by a crash: what is readable is
            right), `unproven` (lines without checksums), `damaged`.
        frames: Readable ones.
        first_ns: Smallest receive time, Unix ns; None where there is no frame.
        last_ns: Largest receive time.
        error: What is wrong; empty unless `damaged`.
    """

    file: str
    exchange: str
    frames: int
    first_ns: int | None
    last_ns: int | None
    bytes: int
    state: str
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)

    def row(self) -> tuple[Any, ...]:
        """For a table."""
        per_frame = round(self.bytes / self.frames, 1) if self.frames else None
        times = (_text(self.first_ns), _text(self.last_ns))
        return self.file, self.exchange, self.frames, *times, self.bytes, per_frame, self.state


def report(path: Path) -> FileReport:
    """Read a file to its end."""
    frames, first, last, error = 0, None, None, ""
    file = RecordedFile(path)
    try:
        file = opened(path)
        for batch in file.batches():
            frames += len(batch)
            first = min(batch.received_ns if first is None else [first, *batch.received_ns])
            last = max(batch.received_ns if last is None else [last, *batch.received_ns])
    except (RecordingError, ConfigError) as damage:
        error = str(damage)
    sound = "whole" if file.sealed else "unproven" if path.name.endswith(LINES) else "open"
    return FileReport(
        file=str(path),
        exchange=file.exchange,
        frames=frames,
        first_ns=first,
        last_ns=last,
        bytes=path.stat().st_size,
        state="damaged" if error else sound,
        error=error,
    )


def _text(time_ns: int | None) -> str:
    if time_ns is None:
        return ""
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
