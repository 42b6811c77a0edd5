"""Dedup stores that break one MUST each, and the one test that has to notice."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np

from k2core.errors import DedupError
from k2core.interfaces.identities import Stream
from tests.contract.broken import noticing
from tests.contract.dedup_model import Key, ModelStore

NUMBERS_BELOW = 1 << 40
"""Marks below this are ids, at or above it event times."""
BROKEN: dict[type[ModelStore], str] = {}


noticed_by = noticing(BROKEN)


@noticed_by("D01")
class BatchIsNotAtomic(ModelStore):
    def claim(self, batch: Any) -> Any:
        if not len(batch) or batch.partition not in self.flight:
            return super().claim(batch)
        flight = self.flight[batch.partition]
        before = dict(flight)
        found = []
        for n in range(len(batch)):
            self.flight[batch.partition] = dict(before)
            found.append(bool(super().claim(batch.where(np.arange(len(batch)) == n))[0]))
            flight |= self.flight[batch.partition]
        self.flight[batch.partition] = flight
        return np.array(found, bool)


@noticed_by("D02")
class OpaqueInFlightIsForgotten(ModelStore):
    def claim(self, batch: Any) -> Any:
        flight = self.flight.get(batch.partition, {})
        if batch.kind != "opaque" or batch.ids.dtype.kind != "i" or not flight:
            return super().claim(batch)
        self.flight[batch.partition] = {}
        found = super().claim(batch)
        self.flight[batch.partition] = flight | self.flight[batch.partition]
        return found


@noticed_by("D03")
class OpaqueSettledIsLeftToTheTable(ModelStore):
    def settle(self, partition: Any, first_offset: int, next_offset: int) -> None:
        super().settle(partition, first_offset, next_offset)
        held = self.all[partition].held
        for key, (_, _, mark) in [(k, f) for k, f in held.items() if f[2] >= NUMBERS_BELOW]:
            self.remember(self.all[partition], key[0], mark)
            del held[key]


@noticed_by("D04")
class AbandonsEverything(ModelStore):
    def abandon(self, partition: Any, first_offset: int) -> None:
        super().abandon(partition, 0)


@noticed_by("D05")
class SettlesOutOfTurn(ModelStore):
    def settle(self, partition: Any, first_offset: int, next_offset: int) -> None:
        super().settle(partition, min(first_offset, self.all[partition].offset), next_offset)


@noticed_by("D06")
class SettlesOnlyOnce(ModelStore):
    def settle(self, partition: Any, first_offset: int, next_offset: int) -> None:
        if first_offset < self.all[partition].offset:
            raise DedupError("settled already")
        super().settle(partition, first_offset, next_offset)


@noticed_by("D07")
class SettlesAllThatIsInFlight(ModelStore):
    def settle(self, partition: Any, first_offset: int, next_offset: int) -> None:
        super().settle(partition, first_offset, next_offset)
        held, flight = self.all[partition].held, self.flight[partition]
        while flight:
            key, facts = flight.popitem()
            held[key] = facts


@noticed_by("D08")
class StandsStillWithoutRecords(ModelStore):
    def settle(self, partition: Any, first_offset: int, next_offset: int) -> None:
        before, there = self.all[partition].offset, any(f[0] < next_offset for f in self.flight[partition].values())
        super().settle(partition, first_offset, next_offset)
        if not there:
            self.all[partition].offset = before


@noticed_by("D09")
class JoinsNamesWithColons(ModelStore):
    def key(self, stream: Stream, text: str) -> Key:
        plain = stream.exchange in ("binance", "kraken")
        return super().key(
            stream if plain else Stream("", f"{stream.exchange}:{stream.symbol}:{stream.id_epoch}"), text
        )


@noticed_by("D09")
class ForgetsTheEpoch(ModelStore):
    def key(self, stream: Stream, text: str) -> Key:
        return super().key(Stream(stream.exchange, stream.symbol), text)


@noticed_by("D10")
class ReadsIdsAsNumbers(ModelStore):
    def key(self, stream: Stream, text: str) -> Key:
        return super().key(stream, str(int(text)) if text.isdigit() and len(text) < 19 else text)


@noticed_by("D10")
class ToldApartByForm(ModelStore):
    def claim(self, batch: Any) -> Any:
        self.form = batch.ids.dtype.kind
        return super().claim(batch)

    def key(self, stream: Stream, text: str) -> Key:
        mixed = text in "5678" and getattr(self, "form", "i") == "O"
        return super().key(stream, f"text {text}" if mixed else text)


@noticed_by("D11")
class CutsLongIds(ModelStore):
    def key(self, stream: Stream, text: str) -> Key:
        return super().key(stream, text[:4096])


@noticed_by("D11")
class DropsZeroBytes(ModelStore):
    def key(self, stream: Stream, text: str) -> Key:
        return super().key(stream, text.rstrip("\x00"))


@noticed_by("D11")
class NormalisesText(ModelStore):
    def key(self, stream: Stream, text: str) -> Key:
        return super().key(stream, unicodedata.normalize("NFC", text))


@noticed_by("D11")
class WrapsAt64Bits(ModelStore):
    def key(self, stream: Stream, text: str) -> Key:
        wraps = text.isdigit() and 18 < len(text) < 40
        return super().key(stream, str(int(text) % (1 << 63)) if wraps else text)


@noticed_by("D12")
class RevokesAllPartitions(ModelStore):
    def revoke(self, partition: Any) -> None:
        for each in list(self.flight):
            super().revoke(each)


@noticed_by("D13")
class AnswersWithoutAnOwner(ModelStore):
    def claim(self, batch: Any) -> Any:
        return super().claim(batch) if batch.partition in self.flight else np.ones(len(batch), bool)


@noticed_by("D14")
class AnswersNothingToNothing(ModelStore):
    def claim(self, batch: Any) -> Any:
        return super().claim(batch) if len(batch) else None


@noticed_by("D15")
class HoldsTenThousand(ModelStore):
    def settle(self, partition: Any, first_offset: int, next_offset: int) -> None:
        super().settle(partition, first_offset, next_offset)
        held = self.all[partition].held
        while len(held) > 10_000:
            del held[next(iter(held))]
