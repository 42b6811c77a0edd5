"""`Watched`: a table's identities, overheard while the dedup store builds its window from them; they seed the ledger.

So holes are known across a restart without reading the table a second time. A store that outlives the writer (Redis)
asks for little or nothing: what it did not ask for is then read for the ledger alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from k2core.admission.holes import HoleLedger
from k2core.interfaces.broker import Partition
from k2core.interfaces.dedup import StoredIdentities
from k2core.interfaces.identities import IdentityBatch, Stream
from k2core.records.topics import Topic
from k2core.writer.parts import Parts


class Watched(StoredIdentities):
    """Passes everything through, and keeps what it heard of a partition until that one's `seed`.

    Args:
        stored: The table's identities.
        ledger: Told of what is stored.
        parts: The pipeline's: what connectors declare of ids, and where look-ups are counted.
    """

    def __init__(self, stored: StoredIdentities, ledger: HoleLedger, parts: Parts) -> None:
        facts, self._parts = parts.admission.facts, parts
        self._stored, self._ledger = stored.declared(facts), ledger
        self._contiguous = frozenset(exchange for exchange, fact in facts.items() if fact.ids == "contiguous")
        self._marks: dict[Partition, dict[Stream, int]] = {}
        self._heard: dict[Partition, tuple[int, list[IdentityBatch]]] = {}
        self._seeded: set[Partition] = set()

    def seed(self, partition: Partition, since_us: int) -> None:
        """Tell the ledger what the table has of a partition; once, after the dedup store was assigned.

        Args:
            partition: Which.
            since_us: Holes in what was appended from here on are to be known; of what is older, the newest ids.

        Raises:
            K2Error: The table cannot be read; call again.
        """
        if Topic.parse(partition[0]).exchange in self._contiguous:
            if partition not in self._heard or self._heard[partition][0] > since_us:
                self.marks(partition, since_us)
                for _ in self.load(partition, since_us):
                    pass  # `load` keeps them
            for stream, mark in self._marks.get(partition, {}).items():
                self._ledger.start_at(stream, mark, partition)
            # The order of rows in a table is not that of their ids: only all of them together show what is missing.
            self._ledger.note(*self._heard[partition][1])
        self._seeded.add(partition)
        self._marks.pop(partition, None)
        self._heard.pop(partition, None)

    def contains(self, batch: IdentityBatch) -> npt.NDArray[np.bool_]:
        """Which of these identities are stored below the batch's own offsets."""
        parts = self._parts
        parts.metrics.add("k2_dedup_table_lookups_total", len(batch), data_type=parts.data_type.name)
        return self._stored.contains(batch)

    def marks(self, partition: Partition, before_us: int) -> dict[Stream, int]:
        """Per stream with stored rows appended before `before_us`: at least the largest mark key among them."""
        marks = self._stored.marks(partition, before_us)
        if partition not in self._seeded:
            self._marks[partition] = {s: mark for s, mark in marks.items() if s.exchange in self._contiguous}
        return marks

    def load(self, partition: Partition, since_us: int) -> Iterator[IdentityBatch]:
        """Identities of the rows of one partition with an append time ≥ `since_us`; kept once all were read."""
        seen = []
        for batch in self._stored.load(partition, since_us):
            if partition not in self._seeded:
                seen.append(batch)
            yield batch
        if partition not in self._seeded:
            self._heard[partition] = since_us, seen
