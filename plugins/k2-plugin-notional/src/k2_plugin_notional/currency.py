"""The quote currency of a symbol, as far as its spelling tells it."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SEPARATED = re.compile(r"[^/\-_:]+[/\-_:]([^/\-_:]+)")


def quote_of(symbol: str, currencies: Iterable[str]) -> str | None:
    """`BTC/USD`, `BTC-USD`: what stands behind the only separator; `BTCUSDT`: the longest known code at the end.

    Args:
        symbol: As its exchange spells it.
        currencies: Codes that count; whatever is none of them (`BTC-PERP`, `BHP`) is no currency, and gives None.
    """
    known = set(currencies)
    if found := _SEPARATED.fullmatch(symbol):
        return found[1] if found[1] in known else None
    if not symbol.isalnum():
        return None
    ends = [code for code in known if symbol.endswith(code) and len(symbol) > len(code) + 1]
    return max(ends, key=len, default=None)
