"""What a question names and nobody ever saw: a symbol or an exchange misspelt answers with no rows, so it is said.

It costs a look into what memory and table hold by name; nothing is read for it, and where the table cannot tell its
names nothing is said.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from k2core.query.answer import RowsRequest

Pair = tuple[str, str]
MOST = 10
"""So many names are told of."""
CANDIDATES = 500


def unseen(what: str, request: RowsRequest, seen: frozenset[Pair]) -> tuple[str, ...]:
    """Warnings: names of a question that are in no row there ever was.

    Args:
        what: The data type's name.
        request: The question.
        seen: Every (symbol, exchange) of log and table.
    """
    symbols, exchanges = {s for s, _ in seen}, {e for _, e in seen}
    found = [_never("exchange", e, what, exchanges) for e in request.exchanges or () if e not in exchanges]
    for symbol in request.symbols or ():
        if symbol not in symbols:
            found.append(_never("symbol", symbol, what, symbols))
        elif request.exchanges and not any((symbol, e) in seen for e in request.exchanges):
            elsewhere = ", ".join(sorted(e for s, e in seen if s == symbol))
            found.append(f"symbol {symbol!r} has never been seen in {what} of that exchange, but of {elsewhere}")
    return tuple(found[:MOST])


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name that was probably meant: the same but for case and separators, else one much like it."""
    plain, near = _plain(name), []
    for each in sorted(known):
        other = _plain(each)
        if other == plain:
            return each
        if abs(len(other) - len(plain)) <= 3 and (other[:2] == plain[:2] or other[-2:] == plain[-2:]):
            near.append(each)
    by_plain = {_plain(each): each for each in near[:CANDIDATES]}
    found = difflib.get_close_matches(plain, by_plain, 1, 0.7)
    return by_plain[found[0]] if found else None


def _never(kind: str, name: str, what: str, known: set[str]) -> str:
    hint = nearest(name, known)
    return f"{kind} {name!r} has never been seen in {what}" + (f"; did you mean {hint}?" if hint else "")


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())
