"""`Settling`: tells the dedup store which commits landed, in order, until it has taken note of each.

A store that is away loses nothing: what was claimed stays in flight until its settle succeeds, so copies are still
recognised.
"""

from __future__ import annotations

from collections.abc import Iterable

from k2core.errors import DedupError
from k2core.interfaces.broker import Partition
from k2core.writer.parts import Parts


class Settling:
    """Landed commits of which the store does not know yet."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._pending: list[tuple[Partition, int, int]] = []

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, partition: Partition, first_offset: int, next_offset: int) -> None:
        """A commit carried these offsets."""
        self._pending.append((partition, first_offset, next_offset))

    def run(self) -> None:
        """Settle what is pending; what fails stays, and so does what follows it on its partition."""
        left: list[tuple[Partition, int, int]] = []
        for place, first, following in self._pending:
            if any(place == other for other, _, _ in left) or not self._settle(place, first, following):
                left.append((place, first, following))
        self._pending = left

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Partitions that were given up or built anew from the table: nothing is left to say of them."""
        gone = set(partitions)
        self._pending = [pending for pending in self._pending if pending[0] not in gone]

    def _settle(self, place: Partition, first: int, following: int) -> bool:
        parts = self._parts
        try:
            began = parts.clock.monotonic()
            parts.dedup.settle(place, first, following)
            spent = max(0.0, parts.clock.monotonic() - began)
            parts.metrics.observe("k2_dedup_settle_seconds", spent, data_type=parts.data_type.name)
        except DedupError as error:
            parts.metrics.add("k2_writer_dedup_errors_total", data_type=parts.data_type.name)
            parts.logger.warning("settle failed, kept in flight partition=%s/%d error=%s", *place, error)
            return False
        return True
