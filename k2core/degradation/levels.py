"""The five levels, what each permits, and a change from one to another."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

KEPT_TIERS = (3, 3, 2, 1, 1)
"""By level: records of tiers up to this are stored."""


class Level(IntEnum):
    """How much a writer gives up; a higher one includes the lower ones."""

    NORMAL = 0
    SOFT = 1
    GRACEFUL = 2
    AGGRESSIVE = 3
    CIRCUIT_BREAK = 4

    @property
    def kept_tier(self) -> int:
        """Records of tiers up to this are stored, others shed."""
        return KEPT_TIERS[self]

    @property
    def sheds(self) -> bool:
        """Whether anything is shed."""
        return self.kept_tier < max(KEPT_TIERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A level was entered.

    Args:
        level: The new one.
        previous: The one before.
        cause: `lag` or `memory`: what made the higher of the two.
        lag: Records behind, at that moment.
        memory: Share of the memory limit, at that moment.
    """

    level: Level
    previous: Level
    cause: str
    lag: int
    memory: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What a writer may do now.

    Args:
        poll: Whether it may read.
        records: Records that it may read at once, at most; None: as its settings say.
        level: The level; it says which tiers are kept.
        enrich: Whether enrichers run.
        hold: Share of the records that may wait for a commit; less than 1 is backpressure by memory.
    """

    poll: bool = True
    records: int | None = None
    level: Level = Level.NORMAL
    enrich: bool = True
    hold: float = 1.0
