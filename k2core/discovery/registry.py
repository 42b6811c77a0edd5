"""`Registry`: every component that was found, by kind and name, and what is wrong with those that cannot be used."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from k2core.errors import PluginError

CORE = "k2core"
"""Distribution whose names nobody else can take."""

_EXCHANGES = ("binance", "kraken", "coinbase")
KNOWN = {
    "connector": _EXCHANGES,
    "normalizer": _EXCHANGES,
    "local-exchange": _EXCHANGES,
    "broker": ("kafka",),
    "sink": ("iceberg",),
    "query-source": ("iceberg",),
    "dedup-store": ("memory", "redis"),
    "enricher": ("notional",),
    "importer": ("files",),
    "data-type": ("ticks",),
}
"""Names that plugins of this repository offer, each from the distribution `k2-plugin-NAME`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that a plugin offers, or (kind `plugin`) a plugin that could not be read.

    Args:
        kind: `connector`, `normalizer`, `enricher`, `dedup-store`, `sink`, `broker`, `query-source`, `importer`,
            `data-type`, `command`, `local-exchange`; `plugin` for what failed as a whole.
        name: The component's name; for a `plugin` the entry point's name.
        distribution: Who offers it: a distribution, or a file's name.
        version: Its version; empty where it has none.
        state: `ok`, `broken`, `clash` where somebody else offers the same name, or (kind `plugin`) `warning`: it works,
            and did something that no plugin should do.
        error: What is wrong; empty while it is ok.
        component: The `Component`, `DataType` or command; None where it is broken.
    """

    kind: str
    name: str
    distribution: str
    version: str
    state: Literal["ok", "broken", "clash", "warning"] = "ok"
    error: str = ""
    component: Any = None

    @property
    def provenance(self) -> str:
        """Who offers it, as `k2-plugin-binance 0.1.0`."""
        return f"{self.distribution} {self.version}".strip()


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """`; did you mean 'right'?`, or nothing where no known name is near. Case does not count."""
    found = nearest(wrong, known)
    return f"; did you mean {found!r}?" if found else ""


def nearest(wrong: str, known: Iterable[str]) -> str:
    """The known name that is nearest to a wrong one; empty where none is near."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(wrong.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[near[0]] if near else ""


class Registry:
    """What discovery found. Immutable; safe to share."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(sorted(mark_clashes(list(entries)), key=lambda e: (e.kind, e.name, e.distribution)))

    @property
    def entries(self) -> Sequence[Entry]:
        """Everything, sorted by kind and name; broken and clashing entries too."""
        return self._entries

    @property
    def broken(self) -> Sequence[Entry]:
        """What cannot be used."""
        return tuple(e for e in self._entries if e.state in ("broken", "clash"))

    @property
    def warnings(self) -> Sequence[Entry]:
        """Plugins that work, and did something that no plugin should do."""
        return tuple(e for e in self._entries if e.state == "warning")

    def usable(self, kind: str) -> dict[str, Entry]:
        """The entries of one kind that work, by name."""
        return {e.name: e for e in self._entries if e.kind == kind and e.state == "ok"}

    def find(self, kind: str, name: str) -> Entry:
        """The entry of this kind and name.

        Raises:
            PluginError: There is none, it is broken, or it clashes; the message says how to get or mend it.
        """
        found = [e for e in self._entries if e.kind == kind and e.name == name]
        for entry in found:
            if entry.state == "ok":
                return entry
        if found:
            raise PluginError(f"{kind} {name!r} cannot be used: {found[0].provenance}: {found[0].error}")
        raise PluginError(self._missing(kind, name))

    def _missing(self, kind: str, name: str) -> str:
        for entry in self._entries:
            if entry.kind == "plugin" and entry.state == "broken" and name in f"{entry.name} {entry.distribution}":
                return f"{kind} {name!r} is not available: {entry.provenance} is broken: {entry.error}"
        return f"there is no {kind} {name!r}{self._advice(kind, name)}"

    def _advice(self, kind: str, name: str) -> str:
        """What was probably meant: a name that is installed, one that k2 knows of, else a plugin of that very name."""
        installed = self.usable(kind)
        if near := nearest(name, installed):
            return f"; did you mean {near!r}?"
        others = sorted({e.kind for e in self._entries if e.name == name and e.state == "ok"})
        if others:
            return f": {name!r} is a {others[0]}; installed {kind}s: {', '.join(installed) or 'none'}"
        if near := nearest(name, known := KNOWN.get(kind, ())):
            meant = "" if name in known else f" did you mean {near!r}?"
            return f";{meant} {'Then' if meant else 'try'} `pip install k2-plugin-{near}`"
        there = f"installed: {', '.join(installed)}; " if installed else ""
        return f"; {there}if a plugin offers it, try `pip install k2-plugin-{name}`"


def mark_clashes(entries: list[Entry]) -> list[Entry]:
    """Mark entries of one kind and name that several plugins offer; core's own names stay core's."""
    offers: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        if entry.state == "ok":
            offers.setdefault((entry.kind, entry.name), []).append(entry)
    return [_marked(e, offers.get((e.kind, e.name), [])) for e in entries]


def _marked(entry: Entry, same: list[Entry]) -> Entry:
    if entry.state != "ok" or len(same) < 2:
        return entry
    if entry.distribution == CORE and sum(e.distribution == CORE for e in same) == 1:
        return entry
    names = " and ".join(sorted(e.provenance for e in same))
    return replace(
        entry, state="clash", error=f"{entry.kind} {entry.name!r} is offered by {names}; uninstall all but one"
    )
