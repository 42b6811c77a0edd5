"""Settings that every local exchange with a generated tape has. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from k2core.component import Settings
from k2core.exchanges.spelling import Spelling

if TYPE_CHECKING:
    from k2core.testing.tape import Event


class TapeSettings(Settings):
    """A generated tape, and how it is played; a subclass sets `symbols` and adds what its exchange needs.

    Attributes:
        spelling: How the exchange writes its symbols.
    """

    spelling: ClassVar[Spelling] = Spelling()

    symbols: list[str] = Field(min_length=1, description="Symbols of the generated tape.")
    trades: int = Field(10_500, ge=0, description="Trades that the generated tape holds, each counted once.")
    quotes_per_trade: float = Field(2, ge=0, description="Quotes for each trade of the generated tape.")
    seconds: float = Field(15, gt=0, description="Playing time of the generated tape.")
    seed: int = Field(7, description="The same seed gives the same tape.")
    double_every: int = Field(50, ge=0, description="Every n-th frame is sent twice; 0: none.")
    malformed: int = Field(1, ge=0, description="Malformed frames among the others.")
    data_types: Sequence[Literal["trades", "quotes"]] = Field(
        ["trades", "quotes"], min_length=1, description="What somebody must subscribe to before the tape starts."
    )
    before: int = Field(
        0,
        ge=0,
        description="Frames of the tape that happened before anybody could subscribe: a snapshot may tell of them.",
    )
    trades_per_frame: int | None = Field(
        None,
        ge=1,
        description="Trades that one frame holds, at most; unset: each frame is one event, not a list of some.",
    )
    burst_frames: int = Field(200, ge=1, description="Frames handed to a connection at once, at most.")
    subscribe_timeout_s: float = Field(30, gt=0, description="How long to wait for somebody to subscribe.")
    port: int = Field(0, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")

    @field_validator("symbols")
    @classmethod
    def _spelled(cls, value: list[str]) -> list[str]:
        return cls.spelling.read(value)

    def tape(self) -> list[Event]:
        """The tape that these settings ask for; with `trades_per_frame`, each event's `what` is a list."""
        from k2core.testing.tape import generated, grouped

        made = {"symbols", "trades", "quotes_per_trade", "seconds", "malformed", "seed"}
        tape = generated(**self.model_dump(include=made))
        return tape if self.trades_per_frame is None else list(grouped(tape, self.trades_per_frame))
