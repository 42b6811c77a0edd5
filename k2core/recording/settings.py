"""`[recording]`: whether and where raw frames are kept."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from k2core.component import Settings


class RecordingSettings(Settings):
    """`[recording]`: raw frames beside the log, and by `k2 record` alone."""

    enabled: bool = Field(False, description="Whether `k2 ingest` keeps raw frames; `k2 record` always does.")
    path: Path = Field(Path("data/raw"), description="Folder of the recordings.", json_schema_extra={"path": True})
    flush_s: float = Field(
        1, gt=0, le=60, description="Frames wait in memory no longer than this; so much a crash can lose."
    )
    block_frames: int = Field(
        8192, ge=1, description="Frames that are compressed at once, at most; more compress better."
    )
    block_bytes: int = Field(8 << 20, ge=1024, description="Bytes of frames that are compressed at once, at most.")
    file_bytes: int = Field(128 << 20, ge=1024, description="A file of this size is sealed and a new one begun.")
    file_s: float = Field(3600, gt=0, description="A file of this age is sealed and a new one begun.")
    sync: bool = Field(True, description="Whether every flush waits until the disk has it.")
    keep_days: float | None = Field(None, gt=0, description="Sealed files older than this are deleted; none: kept.")
    keep_bytes: int | None = Field(
        None, ge=1024, description="Oldest sealed files beyond this size are deleted; none: kept."
    )
