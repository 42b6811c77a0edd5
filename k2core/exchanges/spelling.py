"""`Spelling`: how an exchange writes its symbols, so that a mistyped one is refused before anything is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Spelling:
    r"""How an exchange writes its symbols.

    Args:
        pattern: A regular expression that matches a whole symbol, in the case in which it is kept.
        example: A symbol, for error messages.
        upper: Whether symbols are kept in upper case, however they are written in settings.
        renamed: Parts of symbols that the exchange writes otherwise today, as `{"XBT": "BTC"}`.
    """

    pattern: str = r"\S{1,64}"
    example: str = "BTC-USD"
    upper: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)

    def read(self, symbols: Sequence[str]) -> list[str]:
        """Symbols as the exchange writes them, each once, in the given order.

        Raises:
            ValueError: One is none; says which, and how they are written.
        """
        return list(dict.fromkeys(self._one(symbol.upper() if self.upper else symbol) for symbol in symbols))

    def _one(self, symbol: str) -> str:
        if not symbol.isprintable() or not re.fullmatch(self.pattern, symbol):
            raise ValueError(
                f"{symbol!r} is no symbol of this exchange: write it as the exchange does, like {self.example}"
            )
        for part in re.split(r"[^A-Za-z0-9]", symbol) if self.renamed else ():
            if part in self.renamed:
                raise ValueError(f"{symbol!r} is an old spelling: the exchange says {self.renamed[part]}, not {part}")
        return symbol
