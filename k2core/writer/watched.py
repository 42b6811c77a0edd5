"""`Watched`: a table's identities, overheard by the hole ledger while the dedup store builds its window from them.

So holes are known across a restart without reading the table a second time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from k2core.admission.holes import HoleLedger
from k2core.interfaces.broker import Partition
from k2core.interfaces.dedup import StoredIdentities
from k2core.interfaces.identities import IdentityBatch, Stream
from k2core.writer.parts import Parts


class Watched(StoredIdentities):
    """Passes everything through.

    Args:
        stored: The table's identities.
        ledger: Told of what is stored.
        parts: The pipeline's: what connectors declare of ids, and where look-ups are counted.
    """

    def __init__(self, stored: StoredIdentities, ledger: HoleLedger, parts: Parts) -> None:
        facts, self._parts = parts.admission.facts, parts
        self._stored, self._ledger = stored.declared(facts), ledger
        self._contiguous = frozenset(exchange for exchange, fact in facts.items() if fact.ids == "contiguous")

    def contains(self, batch: IdentityBatch) -> npt.NDArray[np.bool_]:
        """Which of these identities are stored below the batch's own offsets."""
        parts = self._parts
        parts.metrics.add("k2_dedup_table_lookups_total", len(batch), data_type=parts.data_type.name)
        return self._stored.contains(batch)

    def marks(self, partition: Partition, before_us: int) -> dict[Stream, int]:
        """Per stream with stored rows appended before `before_us`: at least the largest mark key among them."""
        marks = self._stored.marks(partition, before_us)
        for stream, mark in marks.items():
            if stream.exchange in self._contiguous:
                self._ledger.start_at(stream, mark, partition)
        return marks

    def load(self, partition: Partition, since_us: int) -> Iterator[IdentityBatch]:
        """Identities of the rows of one partition with an append time ≥ `since_us`; noted once all were read."""
        seen = []
        for batch in self._stored.load(partition, since_us):
            seen.append(batch)
            yield batch
        # The order of rows in a table is not that of their ids: only all of them together show what is missing.
        self._ledger.note(*seen)
