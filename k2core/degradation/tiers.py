"""`Tiers`: who is shed last (1), and who first (3): by settings, else by volume; stable while anything is shed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from k2core.degradation.levels import Level
from k2core.degradation.settings import DegradationSettings

SymbolKey = tuple[str, str]
"""Exchange and symbol."""

COUNTED = 100_000
"""Symbols whose volume is counted; further ones count as having none."""


class Tiers:
    """Tier of each symbol.

    Args:
        settings: Tiers by name, and how volume is ranked.
    """

    def __init__(self, settings: DegradationSettings) -> None:
        self._settings = settings
        self._windows: list[Counter[SymbolKey]] = [Counter(), Counter()]
        self._turned = float("-inf")
        self._tiers: dict[SymbolKey, int] = {}
        self._ranked: dict[SymbolKey, int] | None = None
        self._rules: dict[Level, str] = {}

    def count(self, now: float, counts: Mapping[SymbolKey, int]) -> None:
        """So many records were read.

        Args:
            now: Seconds, rising.
            counts: By exchange and symbol.
        """
        if self._settings.default_tier is not None:
            return
        if now - self._turned >= self._settings.ranking_s:
            self._turned, self._windows = now, [Counter(), self._windows[0]]
        newest = self._windows[0]
        if len(newest) < COUNTED:
            newest.update(counts)
        else:
            newest.update({key: count for key, count in counts.items() if key in newest})

    def freeze(self) -> None:
        """From now on, until `thaw`, every symbol keeps its tier."""
        if self._ranked is None:
            self._ranked, self._tiers, self._rules = self._ranking(), {}, {}

    def thaw(self) -> None:
        """Nothing is shed any more."""
        self._ranked = None

    def tier(self, exchange: str, symbol: str) -> int:
        """1, 2 or 3; ranked anew only by `freeze`."""
        key = exchange, symbol
        found = self._tiers.get(key)
        if found is None:
            found = self._tiers[key] = self._tier(exchange, symbol)
        return found

    def rule(self, level: Level) -> str:
        """A short name of what a level keeps and sheds now: equal where every symbol is treated alike."""
        if level not in self._rules:
            settings = self._settings
            said = (
                level.kept_tier,
                list(settings.tiers.items()),
                settings.default_tier,
                sorted((self._ranked or {}).items()),
            )
            self._rules[level] = f"{level.name}-{hashlib.blake2b(repr(said).encode(), digest_size=4).hexdigest()}"
        return self._rules[level]

    def shed(self, level: Level, keys: Iterable[SymbolKey]) -> frozenset[SymbolKey]:
        """Which of these a level sheds."""
        return frozenset(key for key in keys if self.tier(*key) > level.kept_tier)

    def _tier(self, exchange: str, symbol: str) -> int:
        for pattern, tier in self._settings.tiers.items():
            if fnmatchcase(symbol, pattern) or fnmatchcase(f"{exchange}:{symbol}", pattern):
                return tier
        if self._settings.default_tier is not None:
            return self._settings.default_tier
        return (self._ranked or {}).get((exchange, symbol), 3)

    def _ranking(self) -> dict[SymbolKey, int]:
        """Tiers 1 and 2 by volume; ties by name, so that equal counts give equal tiers."""
        settings, volume = self._settings, self._windows[0] + self._windows[1]
        order = sorted(volume, key=lambda key: (-volume[key], key))
        top, following = settings.top_symbols, settings.top_symbols + settings.next_symbols
        return {key: 1 if at < top else 2 for at, key in enumerate(order[:following])}
