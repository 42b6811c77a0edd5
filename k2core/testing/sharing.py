"""`Group` and `GroupMembership`: processes that share partitions, as a model: who has what, who is to get what, who is gone.

The rules are those of a log that shares: whoever stops asking for longer than the session has lost its share; a
partition goes to somebody else only after whoever has it gave it up, or is gone; nobody else is disturbed meanwhile. The
state is plain data, so that a test may keep it in memory, or in a file between processes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from k2core.clock import Clock
from k2core.interfaces.broker import Partition
from k2core.interfaces.sharing import Leaving, Membership


@dataclass
class Member:
    """One of those who share: when it last asked, and what it has."""

    seen: float
    held: set[Partition] = field(default_factory=set)


@dataclass
class Group:
    """Everybody who shares under one name.

    Args:
        session_s: Whoever was silent for longer is gone.
        members: By name.
    """

    session_s: float
    members: dict[str, Member] = field(default_factory=dict)

    def asks(self, name: str, now: float, every: Iterable[Partition]) -> frozenset[Partition] | None:
        """A member asks for its share.

        Returns:
            What it must give up first; None where it had been gone: it has lost everything, and is a member again.
        """
        for other in [n for n, m in self.members.items() if now - m.seen > self.session_s]:
            del self.members[other]
        if name not in self.members:
            self.members[name] = Member(now)
            return None
        self.members[name].seen = now
        return frozenset(self.members[name].held - self._wanted(name, every))

    def gets(self, name: str, gave_up: frozenset[Partition], every: Iterable[Partition]) -> frozenset[Partition]:
        """A member gave up what it had to; its share now. Empty where it is gone meanwhile."""
        if name not in self.members:
            return frozenset()
        every, mine = set(every), self.members[name]
        mine.held -= gave_up
        taken = {place for member in self.members.values() for place in member.held}
        mine.held = (mine.held | (self._wanted(name, every) - taken)) & every
        return frozenset(mine.held)

    def leaves(self, name: str) -> None:
        """A member goes."""
        self.members.pop(name, None)

    def _wanted(self, name: str, every: Iterable[Partition]) -> set[Partition]:
        """Equal shares, and each keeps what it has as far as they allow."""
        places, names = sorted(every), sorted(self.members)
        sizes = {n: len(places) // len(names) + (k < len(places) % len(names)) for k, n in enumerate(names)}
        kept = {n: set(sorted(self.members[n].held & set(places))[: sizes[n]]) for n in names}
        free = iter([p for p in places if not any(p in held for held in kept.values())])
        for n in names:
            kept[n] |= set(_take(free, sizes[n] - len(kept[n])))
        return kept[name]


class GroupMembership(Membership):
    """A place in a group.

    Args:
        state: Gives the group, alone to whoever has it, and keeps what was changed.
        name: Unique.
        every: All partitions that are shared.
        leaving: See `Broker.join`.
        clock: The time.
    """

    def __init__(
        self,
        state: Callable[[], AbstractContextManager[Group]],
        name: str,
        every: Callable[[], Iterable[Partition]],
        leaving: Leaving | None,
        clock: Clock,
    ) -> None:
        self._state, self._name, self._every, self._clock = state, name, every, clock
        self._leaving = leaving
        self._held: frozenset[Partition] = frozenset()

    def partitions(self) -> frozenset[Partition]:
        """What is ours now."""
        every = frozenset(self._every())
        with self._state() as group:
            lost = group.asks(self._name, self._clock.monotonic(), every)
        if lost is None:
            self._held = frozenset()
            return self._held
        if lost and self._leaving is not None:
            self._leaving(lost)
        with self._state() as group:
            self._held = group.gets(self._name, lost, every)
        return self._held

    def beat(self) -> None:
        """Say that this member lives; of no effect where the others have given it up."""
        with self._state() as group:
            if self._name in group.members:
                group.members[self._name].seen = self._clock.monotonic()

    def close(self) -> None:
        """Leave."""
        self._held = frozenset()
        with self._state() as group:
            group.leaves(self._name)


def _take(places: Iterator[Partition], count: int) -> list[Partition]:
    return list(itertools.islice(places, count))
