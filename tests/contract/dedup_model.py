"""`ModelStore`: a small dedup store that keeps every MUST, shared and durable by folder; broken ones change one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from k2core.clock import Clock
from k2core.errors import DedupError, K2Error
from k2core.interfaces.broker import Partition
from k2core.interfaces.dedup import DedupStore, StoredIdentities
from k2core.interfaces.identities import IdentityBatch, Stream, number_of

Key = tuple[Any, ...]
WINDOW_US = 3_600_000_000


@dataclass
class Kept:
    """One partition in the place that all stores of it share: what is settled, by key: (offset, append time, mark)."""

    offset: int = 0
    owner: object = None
    held: dict[Key, tuple[int, int, int]] = field(default_factory=dict)
    marks: dict[Stream, int] = field(default_factory=dict)


PLACES: dict[Path, dict[Partition, Kept]] = {}


class ModelStore(DedupStore):
    """Record by record, as the interface says."""

    def __init__(self, place: Path, clock: Clock) -> None:
        self.place, self.clock = place, clock
        self.all = PLACES.setdefault(place, {})
        self.tables: dict[Partition, StoredIdentities] = {}
        self.flight: dict[Partition, dict[Key, tuple[int, int, int]]] = {}
        self.tokens: dict[Partition, object] = {}

    def assign(self, partition: Partition, offset: int, table: StoredIdentities) -> None:
        kept = self.all.get(partition, Kept())
        since = self.clock.now_us() - WINDOW_US
        marks = dict(table.marks(partition, since))
        if self.is_ahead(kept, offset):
            kept = Kept()
        for batch in self.loaded(table, partition, since, kept.offset):
            for key, at, stamp, mark in rows(self, batch):
                kept.held[key] = (at, stamp, mark)
        for stream, mark in marks.items():
            kept.marks[stream] = max(mark, kept.marks.get(stream, -1))
        kept.offset, kept.owner = offset, object()
        self.all[partition] = kept
        self.tables[partition], self.tokens[partition], self.flight[partition] = table, kept.owner, {}

    def is_ahead(self, kept: Kept, offset: int) -> bool:
        return kept.offset > offset

    def loaded(self, table: StoredIdentities, partition: Partition, since_us: int, offset: int) -> list[IdentityBatch]:
        return [batch.where(batch.offsets >= offset) for batch in table.load(partition, since_us)]

    def revoke(self, partition: Partition) -> None:
        for held in (self.tables, self.tokens, self.flight):
            held.pop(partition, None)

    def claim(self, batch: IdentityBatch) -> npt.NDArray[np.bool_]:
        if batch.partition not in self.flight:
            raise DedupError(f"{batch.partition} was not assigned")
        kept, flight, fresh = self.all[batch.partition], self.flight[batch.partition], dict[Key, Any]()
        lookups = self.looked_up(batch, kept)
        new = []
        for n, (key, *facts) in enumerate(rows(self, batch)):
            known = key in fresh or key in flight or key in kept.held or n in lookups
            if not known:
                fresh[key] = tuple(facts)
            new.append(not known)
        flight |= fresh
        return np.array(new, bool)

    def looked_up(self, batch: IdentityBatch, kept: Kept) -> set[int]:
        """Places in the batch of what the table holds."""
        unsure = [n for n, (key, _, _, mark) in enumerate(rows(self, batch)) if self.below(mark, kept, key)]
        if not unsure:
            return set()
        try:
            found = self.tables[batch.partition].contains(batch.where(np.isin(np.arange(len(batch)), unsure)))
        except K2Error as error:
            raise DedupError(f"cannot look up: {error}") from error
        return {n for n, there in zip(unsure, found.tolist(), strict=True) if there}

    def below(self, mark: int, kept: Kept, key: Key) -> bool:
        return mark <= kept.marks.get(key[0], -1)

    def settle(self, partition: Partition, first_offset: int, next_offset: int) -> None:
        kept = self.all[partition]
        if kept.owner is not self.tokens.get(partition):
            raise DedupError("another owner took over")
        if kept.offset < first_offset:
            raise DedupError(f"settled only up to {kept.offset}")
        flight = self.flight[partition]
        for key in [k for k, facts in flight.items() if facts[0] < next_offset]:
            kept.held[key] = flight.pop(key)
        kept.offset = max(kept.offset, next_offset)

    def abandon(self, partition: Partition, first_offset: int) -> None:
        flight = self.flight.get(partition, {})
        for key in [k for k, facts in flight.items() if facts[0] >= first_offset]:
            del flight[key]

    def evict(self, now_us: int) -> None:
        for partition in self.tokens:
            kept = self.all[partition]
            for key, (_, stamp, mark) in list(kept.held.items()):
                if stamp < now_us - WINDOW_US:
                    del kept.held[key]
                    self.remember(kept, key[0], mark)

    def remember(self, kept: Kept, stream: Stream, mark: int) -> None:
        kept.marks[stream] = max(mark, kept.marks.get(stream, -1))

    def key(self, stream: Stream, text: str) -> Key:
        return stream, text

    def mark(self, batch: IdentityBatch, n: int, text: str) -> int:
        number = number_of(text)
        if batch.kind != "opaque":
            return -2 if number is None else number
        return -2 if batch.event_time == "received" else int(batch.order_ms[n])


def rows(store: ModelStore, batch: IdentityBatch) -> list[tuple[Key, int, int, int]]:
    """(key, offset, append time, mark key) of each record."""
    found = []
    for n, (s, one) in enumerate(zip(batch.stream.tolist(), batch.ids.tolist(), strict=True)):
        key = store.key(batch.streams[s], str(one))
        facts = int(batch.offsets[n]), int(batch.timestamps_us[n]), store.mark(batch, n, str(one))
        found.append((key, *facts))
    return found


Broken = Callable[[Path, Clock], DedupStore]
