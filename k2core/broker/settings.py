"""`[broker]` of the embedded log: where it lies, how durable it is, how much it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from k2core.component import Settings


class EmbeddedSettings(Settings):
    """Settings of the embedded log."""

    path: Path = Field(
        Path("data/log.db"), description="The log's file; others lie beside it.", json_schema_extra={"path": True}
    )
    durability: Literal["full", "normal"] = Field(
        "full",
        description="full: what was accepted survives a power cut. normal: it survives kill -9, but a power cut may "
        "take the newest records; the log then starts a new epoch.",
    )
    busy_s: float = Field(5, gt=0, le=600, description="How long to wait for the write lock before LogBusyError.")
    retention_hours: float = Field(24, gt=0, description="Records older than this are removed once released.")
    retention_bytes: int = Field(
        10 << 30, ge=1 << 20, description="Size limit: then the oldest released records go, and capture stops if none."
    )
    slack_hours: float = Field(1, ge=0, description="Records are kept so long after every consumer released them.")
    sweep_s: float = Field(10, ge=0, description="Pause between two looks for records that are too old.")
    sweep_segments: int = Field(1000, ge=1, description="Appends of one topic that one look removes for age, at most.")
    append_bytes: int = Field(
        64 << 20, ge=1 << 16, le=1 << 29, description="Bytes that one append may have; readers hold as much in memory."
    )
    wal_bytes: int = Field(
        64 << 20, ge=1 << 20, description="The write-ahead log is emptied by force when it grows beyond this."
    )
    closed_step_us: int = Field(
        5000, ge=0, description="A time is closed in the file only if that moves it on by more than this."
    )
    closed_margin_us: int = Field(1000, ge=0, description="Times closer to now than this are never closed by promise.")
