"""Settings of the driver that every feed shares; what an exchange allows stands in its `ConnectionLimits`."""

from __future__ import annotations

from pydantic import Field

from k2core.component import Settings


class FeedSettings(Settings):
    """How connections are kept. Times in seconds."""

    queue_frames: int = Field(default=50_000, ge=1, description="Frames that may wait; then sockets are not read on.")
    queue_bytes: int = Field(default=128 << 20, ge=1, description="Bytes of frames that may wait; then likewise.")
    batch_frames: int = Field(default=2000, ge=1, description="Frames in one batch, at most.")
    connect_timeout_s: float = Field(
        default=10, gt=0, description="Time for TCP, TLS and the opening handshake together."
    )
    close_timeout_s: float = Field(default=2, gt=0, description="How long a closing handshake is waited for.")
    backoff_initial_s: float = Field(default=0.5, gt=0, description="Longest pause before the first new attempt.")
    backoff_max_s: float = Field(default=60, gt=0, description="Longest pause before any new attempt.")
    stable_s: float = Field(
        default=10, ge=0, description="A connection with data that lived so long resets the back-off."
    )
    overlap_s: float = Field(
        default=1, ge=0, description="How long old and new connection both run after the new one is fed."
    )
    overlap_wait_s: float = Field(default=10, gt=0, description="How long the new one may take until its first data.")
    check_timeout_s: float = Field(default=20, gt=0, description="Time for asking the exchange which symbols it knows.")
    check_retry_s: float = Field(default=60, gt=0, description="Pause until it is asked again.")
    compression: bool = Field(default=False, description="Offer permessage-deflate: less traffic, more CPU.")
