"""`[degradation]`: when a writer gives up what, and what counts as most important."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from k2core.component import Settings

Share = Annotated[float, Field(gt=0, le=1)]
Tier = Annotated[int, Field(ge=1, le=3)]


class DegradationSettings(Settings):
    """`[degradation]`: what a writer gives up under load that it cannot take."""

    enabled: bool = Field(True, description="Whether a writer may shed; without, it only falls behind.")
    soft_lag: int = Field(100_000, ge=1, description="Records behind that make SOFT: enrichment is skipped.")
    graceful_lag: int = Field(500_000, ge=1, description="Records behind that make GRACEFUL: tier 3 is shed.")
    aggressive_lag: int = Field(
        1_000_000, ge=1, description="Records behind that make AGGRESSIVE: only tier 1 is kept."
    )
    break_lag: int = Field(
        5_000_000, ge=1, description="Records behind that make CIRCUIT_BREAK: a pause, then half-open."
    )
    soft_memory: Share = Field(0.70, description="Share of the memory limit that makes SOFT.")
    graceful_memory: Share = Field(0.80, description="Share of the memory limit that makes GRACEFUL.")
    aggressive_memory: Share = Field(0.90, description="Share of the memory limit that makes AGGRESSIVE.")
    break_memory: Share = Field(
        0.95, description="Share of the memory limit that makes CIRCUIT_BREAK: nothing is read."
    )
    memory_limit_mb: int = Field(
        0,
        ge=0,
        description="The memory limit of `k2 write`, MiB; 0: the control group's, else memory_share of the machine's.",
    )
    memory_share: Share = Field(
        0.5, description="Share of the machine's memory that is the limit where nothing sets one."
    )
    release_lag: Share = Field(0.5, description="A level by lag ends below this share of its trigger, after down_s.")
    release_memory: Share = Field(
        0.8, description="A level by memory ends below this share of its trigger, after down_s."
    )
    down_s: float = Field(30, ge=0, description="How long the lag or the memory must be below that for a level to end.")
    trend_s: float = Field(
        15, gt=0, description="A level by lag begins after so long above its trigger, unless the lag falls meanwhile."
    )
    look_s: float = Field(0.5, gt=0, description="How often lag and memory are looked at.")
    pause_s: float = Field(30, ge=0, description="CIRCUIT_BREAK by lag reads nothing for so long, then half-open.")
    half_open_records: int = Field(20_000, ge=1, description="Records read at once while half-open.")
    tiers: dict[str, Tier] = Field(
        {}, description='Tier (1 to 3) of symbols: `BTCUSDT = 1`, `"ETH*" = 2`, `"kraken:*" = 3`; the first that fits.'
    )
    default_tier: Tier | None = Field(None, description="Tier of all other symbols; none: by their volume.")
    top_symbols: int = Field(20, ge=0, description="By volume: so many symbols with the most records are tier 1.")
    next_symbols: int = Field(80, ge=0, description="By volume: so many after them are tier 2, all others tier 3.")
    ranking_s: float = Field(300, gt=0, description="By volume: the time over which records are counted.")
    announce_s: float = Field(30, gt=0, description="A level that lasts is told on the control topic again so often.")

    @field_validator("tiers")
    @classmethod
    def _can_fit(cls, tiers: dict[str, int]) -> dict[str, int]:
        for pattern in tiers:
            if _open_bracket(pattern):
                raise ValueError(
                    f'"{pattern}" has a [ without its ]: close it, or write [[] for a bracket that is meant'
                )
        return tiers

    @model_validator(mode="after")
    def _rising(self) -> Self:
        for kind in ("lag", "memory"):
            names = [f"{level}_{kind}" for level in ("soft", "graceful", "aggressive", "break")]
            values = [getattr(self, name) for name in names]
            if values != sorted(values):
                raise ValueError(f"{', '.join(names)} must not fall, they are {values}")
        return self

    def triggers(self, kind: str) -> tuple[float, ...]:
        """Of `lag` or `memory`: what makes each level, SOFT first."""
        return tuple(getattr(self, f"{level}_{kind}") for level in ("soft", "graceful", "aggressive", "break"))


def _open_bracket(pattern: str) -> bool:
    """Whether a `[` has no end: fnmatch would take it for a letter. A `]` that comes first belongs to the set."""
    at = pattern.find("[")
    while at >= 0:
        first = at + (2 if pattern[at + 1 : at + 2] == "!" else 1)
        end = pattern.find("]", first + 1)
        if end < 0:
            return True
        at = pattern.find("[", end + 1)
    return False
