"""`DedupStore`: which identities are stored already.

A store holds what is *committed* (settled); what its owner has claimed and not yet committed is in flight. Identities
that a store no longer holds are looked up in the table, so nothing expires: late ids that nobody stored are new, and
those that somebody stored are not, whatever their age.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from k2core.interfaces.broker import Partition
    from k2core.interfaces.checks import Finding
    from k2core.interfaces.frames import ChannelFacts
    from k2core.interfaces.identities import IdentityBatch, Stream


class StoredIdentities(ABC):
    """What a table can tell of the identities in it, at its head."""

    def declared(self, facts: Mapping[str, ChannelFacts]) -> StoredIdentities:
        """The same, knowing what connectors declare of ids, by exchange: `load` and `marks` are then as narrow as the
        facts allow. Without, nothing is taken for granted, which is exact and slow.
        """
        return self

    @abstractmethod
    def contains(self, batch: IdentityBatch) -> npt.NDArray[np.bool_]:
        """Which of these identities are stored below the batch's own offsets (bool[n]).

        Compared by stream and id; narrowed by date only where `event_time` is `exchange`.
        """

    @abstractmethod
    def load(self, partition: Partition, since_us: int) -> Iterator[IdentityBatch]:
        """Identities of the rows of one partition with an append time ≥ `since_us`, in any order."""

    @abstractmethod
    def marks(self, partition: Partition, before_us: int) -> dict[Stream, int]:
        """Per stream with stored rows appended before `before_us`: at least the largest mark key among them.

        A mark key is the id where ids are int64 and `contiguous` or `increasing`, else the event time in ms.
        """


class DedupStore(ABC):
    """Remembers identities. Synchronous; one thread at a time. Made once per data type."""

    def check(self) -> None:
        """Called once before a writer begins: whether it may.

        Raises:
            DedupAwayError: What stands behind the store does not answer, and the settings do not let it go on without.
        """

    @abstractmethod
    def assign(self, partition: Partition, offset: int, table: StoredIdentities) -> None:
        """The owner takes a partition over, with the table's next offset; build the window from the table."""

    @abstractmethod
    def revoke(self, partition: Partition) -> None:
        """The owner gave a partition up: drop what is in flight there, and whatever only its owner needs."""

    @abstractmethod
    def claim(self, batch: IdentityBatch) -> npt.NDArray[np.bool_]:
        """Which records are new (bool[n]): not settled, not in flight, not earlier in this batch, not in the table.

        What is new is in flight from now on.

        Raises:
            DedupError: The store cannot tell; nothing was claimed.
        """

    @abstractmethod
    def settle(self, partition: Partition, first_offset: int, next_offset: int) -> None:
        """The commit that carries offsets `first_offset` … `next_offset` - 1 has landed: those in flight are settled.

        Raises:
            DedupError: Refused, for the store's own offset is below `first_offset`; what is in flight stays so.
        """

    @abstractmethod
    def abandon(self, partition: Partition, first_offset: int) -> None:
        """A commit did not land: what is in flight at or above `first_offset` never happened."""

    def evict(self, now_us: int) -> None:
        """Forget what left the window before `now_us` (append time); its mark remembers it."""

    def findings(self) -> Iterable[Finding]:
        """What `k2 doctor` should know of what stands behind the store; within its time, also where it is away."""
        return ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release what is held."""
