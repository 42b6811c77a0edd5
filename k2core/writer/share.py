"""`Share`: what the log gives this writer of the partitions, and what of it may be taken at once.

Survived: a writer that was frozen and wakes. Somebody took its partitions over meanwhile, so its next commit is refused;
it may not simply take them back because an old answer still says that they are its own, or two writers would take them
from each other for ever. What was lost by force is contested: it is taken again once the log has said in between that
it is not ours, or, where the log goes on giving it to us, after a pause that doubles each time. The writer that is wrong
hears of it within that pause; the one that is right goes on after it.
"""

from __future__ import annotations

from collections.abc import Iterable

from k2core.clock import Clock
from k2core.interfaces.broker import Partition
from k2core.interfaces.sharing import Membership

DOUBLINGS = 5
CALM_S = 60.0
"""What nobody took for so long is contested no more: the next pause is a short one again."""


class Share:
    """Asks the log for this writer's share.

    Args:
        membership: The place among those who share.
        clock: The time.
        pause_s: Before contested partitions are taken again, the first time.
    """

    def __init__(self, membership: Membership, clock: Clock, pause_s: float) -> None:
        self.membership, self._clock, self._pause_s = membership, clock, pause_s
        self._contested: dict[Partition, tuple[int, float]] = {}

    @property
    def shared(self) -> bool:
        """Whether others may have partitions too."""
        return self.membership.shared

    def ask(self) -> frozenset[Partition]:
        """What is ours now.

        Raises:
            BrokerError: The log cannot tell.
        """
        ours = self.membership.partitions()
        for place in [place for place in self._contested if place not in ours]:
            del self._contested[place]
        return ours

    def contest(self, places: Iterable[Partition]) -> None:
        """Somebody else took these over, although the log had given them to us."""
        now = self._clock.monotonic()
        for place in places:
            times, until = self._contested.get(place, (0, now))
            times = min(times + 1, DOUBLINGS) if now - until < CALM_S else 1
            self._contested[place] = (times, now + self._pause_s * 2 ** (times - 1))

    def free(self, places: frozenset[Partition]) -> frozenset[Partition]:
        """Of our share, what may be taken at once."""
        now = self._clock.monotonic()
        return frozenset(p for p in places if p not in self._contested or now >= self._contested[p][1])
