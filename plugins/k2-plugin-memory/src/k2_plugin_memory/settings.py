"""Settings of the dedup store `memory`."""

from __future__ import annotations

from pydantic import Field

from k2core.plugin import Settings


class MemorySettings(Settings):
    """`[dedup] use = "memory"`. Neither setting decides what counts as a duplicate, only how often the table is asked."""

    window_minutes: float = Field(
        60, gt=0, description="Identities appended longer ago may be forgotten; the table is asked for those."
    )
    max_ids: int = Field(
        20_000_000, ge=1, description="Entries held at once, at most (8 to 16 bytes each); the oldest go first."
    )
