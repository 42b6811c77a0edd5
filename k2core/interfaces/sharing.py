"""`Membership`: a place among the processes that share a table's partitions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from k2core.interfaces.broker import Offsets, Partition

if TYPE_CHECKING:
    from k2core.interfaces.broker import Broker

Leaving = Callable[[frozenset[Partition]], None]


class Membership(ABC):
    """A place among those who share partitions. One thread at a time."""

    shared: ClassVar[bool] = True
    """Whether others may have partitions too. False: the newest owner has all, and who loses one has lost for good."""

    @abstractmethod
    def partitions(self) -> frozenset[Partition]:
        """What is this member's share now. Ask often: who stops asking loses its share to the others.

        Raises:
            BrokerError: The log cannot tell; what was held may be somebody else's by now.
        """

    def note(self, offsets: Offsets) -> None:
        """Tell how far the table is, for tools that show lag; nothing is ever read from it, so it may fail silently."""

    def close(self) -> None:
        """Leave: the others get the share at once."""


class AllPartitions(Membership):
    """Nothing is shared: all partitions, always."""

    shared = False

    def __init__(self, broker: Broker, topics: Sequence[str]) -> None:
        self._broker, self._topics = broker, tuple(topics)

    def partitions(self) -> frozenset[Partition]:
        """All."""
        there = self._broker.topics()
        return frozenset((t, n) for t in self._topics if t in there for n in range(there[t].partitions))
