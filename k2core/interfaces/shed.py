"""`Shed`: records that a writer passed under load without storing them, named so that nothing about it is silent.

A range rides on the very commit that moves the offsets over it. Sinks keep ranges with `merged_shed`, and change them with
`restored_shed` alone: both are pure, so that every sink comes to the same list. A range is exact: every record of its
symbols within its offsets is absent from the table, and no record of another symbol is. Two bounds keep the list small;
beyond them ranges are joined and then say `rule=""`: records of these symbols *may* be absent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from k2core.interfaces.broker import Partition

State = Literal["shed", "restored", "lost"]

ANY = "*"
"""Stands for symbols that are not named: any may be among them."""

CUT = "/"
"""At the end of the rule of a range that has not all symbols of its offsets any more; nothing adjoins it."""

MOST_SYMBOLS = 256
"""Symbols that one range names; of more it says `ANY`."""

MOST_RANGES = 64
"""Ranges of one partition and state; the oldest of more are joined."""


@dataclass(frozen=True, slots=True, order=True)
class Shed:
    """Records of some symbols within a range of one partition that are not in the table, but (until retention) in the log.

    Args:
        topic: Topic name.
        partition: Partition number.
        first_offset: The range begins here.
        next_offset: It ends before this.
        symbols: Each symbol with the number of its records that were shed; `ANY` stands for any symbol.
        level: Under which level, as `GRACEFUL`.
        rule: Ranges of one rule keep and shed the same symbols; empty where joined ranges are no longer exact.
        first_us: Append time of the first record read in the range, Unix us.
        last_us: Append time of the last one.
        state: `shed`; `restored` once they are in the table again; `lost` where retention removed them before that.
        back_offset: Restored: their copies lie on the same partition below this offset.
        back_us: Restored: their copies were appended at or before this, Unix us.
    """

    topic: str
    partition: int
    first_offset: int
    next_offset: int
    symbols: tuple[tuple[str, int], ...]
    level: str
    rule: str
    first_us: int
    last_us: int
    state: State = "shed"
    back_offset: int | None = None
    back_us: int | None = None

    @property
    def place(self) -> Partition:
        """Where it lies."""
        return self.topic, self.partition

    @property
    def records(self) -> int:
        """How many records were shed."""
        return sum(count for _, count in self.symbols)

    @property
    def names(self) -> frozenset[str]:
        """The symbols."""
        return frozenset(name for name, _ in self.symbols)

    def concerns(self, symbols: Iterable[str] | None) -> bool:
        """Whether records of one of these symbols may be among them; None stands for all."""
        return symbols is None or ANY in self.names or not self.names.isdisjoint(symbols)


def counted(counts: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Symbols with counts as `Shed` keeps them: added up, sorted, none at 0, not too many names."""
    total: Counter[str] = Counter()
    for name, count in counts:
        total[name] += count
    found = {name: count for name, count in total.items() if count > 0}
    if len(found) > MOST_SYMBOLS or ANY in found:
        return ((ANY, sum(found.values())),)
    return tuple(sorted(found.items()))


def merged_shed(have: Sequence[Shed], new: Iterable[Shed]) -> tuple[Shed, ...]:
    """The ranges of a table with those of a commit: what adjoins becomes one, what holds no record goes.

    Args:
        have: As the table has them.
        new: Of the commit; those of a partition in order.
    """
    return _bounded(one for one in coalesced(have, new) if one.symbols)


def coalesced(have: Sequence[Shed], new: Iterable[Shed]) -> list[Shed]:
    """Both, with what adjoins as one. Ranges without records stay: under one rule they join what lies beside them."""
    found = list(have)
    last = {one.place: at for at, one in enumerate(found) if one.state == "shed"}
    for one in new:
        at = last.get(one.place)
        if at is not None and adjoin(found[at], one):
            found[at] = joined(found[at], one)
        else:
            last[one.place] = len(found)
            found.append(one)
    return found


def adjoin(one: Shed, following: Shed) -> bool:
    """Whether two ranges are one: neighbours, under one rule."""
    same = one.place == following.place and one.next_offset == following.first_offset
    return same and one.state == following.state == "shed" and one.rule == following.rule != ""


def joined(one: Shed, other: Shed) -> Shed:
    """One range for two of a place; exact only where they `adjoin`."""
    backs = [b for b in (one.back_offset, other.back_offset) if b is not None]
    times = [t for t in (one.back_us, other.back_us) if t is not None]
    return replace(
        one,
        first_offset=min(one.first_offset, other.first_offset), next_offset=max(one.next_offset, other.next_offset),
        symbols=counted([*one.symbols, *other.symbols]),
        first_us=min(one.first_us, other.first_us), last_us=max(one.last_us, other.last_us),
        rule=one.rule if adjoin(one, other) else "",
        back_offset=max(backs, default=None), back_us=max(times, default=None),
    )  # fmt: skip


def restored_shed(have: Sequence[Shed], done: Iterable[Shed]) -> tuple[Shed, ...]:
    """The ranges of a table after some of their records were brought back, or found lost.

    What a running writer added meanwhile stays shed: a range that grew is cut. Done again, it changes nothing.

    Args:
        have: As the table has them.
        done: Each with the place, first offset and rule of a range as it was read, its state `restored` or `lost`, up
            to where that was done, and the symbols with the counts that were done.
    """
    found = list(have)
    for one in done:
        found = [left for was in found for left in (_cut(was, one) if _is_of(was, one) else (was,))]
    return _bounded(found)


def _is_of(was: Shed, done: Shed) -> bool:
    same = was.place == done.place and was.first_offset == done.first_offset
    same = same and was.rule.rstrip(CUT) == done.rule.rstrip(CUT)  # other symbols may have come back meanwhile
    return same and was.state == "shed" and done.next_offset <= was.next_offset and not was.names.isdisjoint(done.names)


def _cut(was: Shed, done: Shed) -> Iterator[Shed]:
    """What a range becomes: its done part, and what is left beside and behind it."""
    taken = {name: count for name, count in done.symbols if name in was.names}
    yield replace(done, symbols=tuple(taken.items()))
    beside = [(name, count) for name, count in was.symbols if name not in taken]
    behind = [(name, count - taken[name]) for name, count in was.symbols if name in taken]
    # What is shed later may adjoin only a range that lacks no symbol.
    rule = f"{was.rule}{CUT}" if was.rule and beside else was.rule
    if any(count > 0 for _, count in behind) and done.next_offset < was.next_offset:
        first_us = was.first_us if done.state == "lost" else min(done.last_us, was.last_us)
        yield replace(was, first_offset=done.next_offset, first_us=first_us, symbols=counted(behind), rule=rule)
    if beside:
        yield replace(was, symbols=counted(beside), rule=rule)


def _bounded(ranges: Iterable[Shed]) -> tuple[Shed, ...]:
    """In order, and not too many of one partition: the oldest become one."""
    groups: dict[tuple[Partition, State], list[Shed]] = {}
    for one in sorted(set(ranges), key=lambda s: (s.place, s.first_offset, s.next_offset, s.state, s.symbols)):
        groups.setdefault((one.place, one.state), []).append(one)
    for group in groups.values():
        while len(group) > MOST_RANGES:
            group[:2] = [joined(*group[:2])]
    return tuple(sorted((one for group in groups.values() for one in group), key=lambda s: (s.place, s.first_offset)))
