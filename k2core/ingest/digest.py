"""Frames to encoded records and dead letters, with exact accounting. Pure but for log lines; runs in a worker thread.

Survives: frames that a normalizer refuses (dead letters), a normalizer that raises, gives records of another exchange
or of another shape (the frames at fault become dead letters, found by halving the batch), and one whose accounts do not
add up (said and counted).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from k2core.errors import NormalizationError
from k2core.ingest.measuring import delays_of
from k2core.interfaces.broker import EncodedBatch
from k2core.interfaces.frames import ConnectorFacts, FrameBatch, NormalizedBatch, Rejected
from k2core.interfaces.normalizer import Normalizer
from k2core.records.builtin import DEAD_LETTERS
from k2core.records.data_type import DataType
from k2core.records.topics import PARTITIONS, Topic, partition_of

if TYPE_CHECKING:
    import pyarrow as pa

    from k2core.avro.codec import Codec

STAGE = "normalize"
NORMALIZER_ERROR = "normalizer-error"


@dataclass(frozen=True, slots=True)
class DeadFrame:
    """A refused frame, where it came from, and why."""

    origin: str
    reason: str
    detail: str
    payload: bytes


@dataclass(slots=True)
class Digested:
    """What became of some frames; frames = yielding + control + rejected + unaccounted.

    Args:
        parts: Encoded records by data type name, in frame order.
        dead: Refused frames.
        records: Number of records by data type name.
        failures: What a normalizer raised, the first of each text.
        delays: By data type name, seconds from event time to receipt of some records.
    """

    parts: dict[str, list[EncodedBatch]] = field(default_factory=dict)
    dead: list[DeadFrame] = field(default_factory=list)
    records: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Exception] = field(default_factory=dict)
    delays: dict[str, list[Any]] = field(default_factory=dict)
    frames: int = 0
    yielding: int = 0
    control: int = 0
    rejected: int = 0

    @property
    def unaccounted(self) -> int:
        """Frames that the normalizer left out of its accounts; negative where it counted some twice."""
        return self.frames - self.yielding - self.control - self.rejected


class Digest:
    """Normalizes, checks and encodes.

    Args:
        normalizer: The exchange's.
        facts: What its connector declares; every record must be of this exchange.
        data_types: Those that may come, by name.
        codecs: One for each of them, and for dead letters.
        payload_bytes: Bytes of a refused frame that are kept.
        logger: For failures of the normalizer's code.
    """

    def __init__(
        self,
        normalizer: Normalizer,
        facts: ConnectorFacts,
        data_types: Mapping[str, DataType],
        codecs: Mapping[str, Codec],
        payload_bytes: int,
        logger: logging.Logger,
    ) -> None:
        self._normalizer, self._exchange, self._codecs = normalizer, facts.exchange, codecs
        self._payload_bytes, self._logger = payload_bytes, logger
        self._data_types = {**data_types, DEAD_LETTERS.name: DEAD_LETTERS}
        self._topics = {n: Topic(facts.asset_class, n, facts.exchange).name for n in self._data_types}

    def __call__(self, batches: Sequence[FrameBatch], now_ms: int, found: Digested) -> list[EncodedBatch]:
        """Digest frames into `found`; what is to be appended in one go, one batch a topic."""
        for batch in batches:
            found.frames += len(batch)
            self._take(batch, found)
        for text, error in found.failures.items():
            self._logger.error(
                "normalizer of %s failed: %s; its frames are dead letters", self._exchange, text, exc_info=error
            )
        if found.unaccounted:
            self._logger.error(
                "normalizer of %s accounts for %d of %d frames: yielding %d, control %d, rejected %d",
                self._exchange,
                found.frames - found.unaccounted,
                found.frames,
                found.yielding,
                found.control,
                found.rejected,
            )
        if found.dead:
            found.parts[DEAD_LETTERS.name] = [self._encode(DEAD_LETTERS.name, self._letters(found.dead, now_ms))]
        return [joined(parts) for parts in found.parts.values()]

    def _take(self, batch: FrameBatch, found: Digested) -> None:
        """Digest a batch whole, or, where that fails, its halves: the frames at fault stand alone in the end."""
        try:
            normalized = self._normalizer.normalize(batch)
            encoded = {n: self._encode(n, self._checked(n, r)) for n, r in normalized.records.items() if r.num_rows}
            dead = [self._dead(batch, one) for one in normalized.rejected]
        except Exception as error:  # noqa: BLE001 - kept in `failures` and logged once a batch
            text = f"{type(error).__name__}: {error}"
            found.failures.setdefault(text, error)
            if len(batch) == 1:
                found.rejected += 1
                found.dead.append(self._dead(batch, Rejected(0, NORMALIZER_ERROR, text)))
                return
            for half in halves(batch):
                self._take(half, found)
            return
        self._account(normalized, encoded, dead, found)
        for name in encoded:
            if (delays := delays_of(normalized.records[name])) is not None:
                found.delays.setdefault(name, []).append(delays)

    def _account(
        self,
        normalized: NormalizedBatch,
        encoded: Mapping[str, EncodedBatch],
        dead: Sequence[DeadFrame],
        found: Digested,
    ) -> None:
        for name, part in encoded.items():
            found.parts.setdefault(name, []).append(part)
            found.records[name] += len(part.sizes)
        found.dead += dead
        found.yielding += normalized.yielding
        found.control += normalized.control
        found.rejected += len(dead)

    def _checked(self, name: str, records: pa.RecordBatch) -> pa.RecordBatch:
        """The records with what core fills in; of this exchange alone.

        Raises:
            NormalizationError: They are of an unknown data type or of another exchange.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        if name not in self._data_types:
            raise NormalizationError(f"records of data type {name!r}, which this connector was not asked for")
        wanted, given = self._data_types[name].arrow_schema.names, records.schema.names
        if "exchange" not in given:
            records = records.append_column("exchange", pa.array([self._exchange] * records.num_rows, pa.string()))
        elif others := set(pc.unique(records["exchange"]).to_pylist()) - {self._exchange}:
            raise NormalizationError(f"records of exchange {others.pop()!r}, not of {self._exchange!r}")
        if "source" in wanted and "source" not in given:
            live = pa.DictionaryArray.from_arrays(pa.array([0] * records.num_rows, pa.int32()), ["live"])
            records = records.append_column("source", live)
        return records

    def _encode(self, name: str, records: pa.RecordBatch) -> EncodedBatch:
        data_type = self._data_types[name]
        sizes, data = self._codecs[name].encode(records)
        return EncodedBatch(self._topics[name], data_type.versions, partitions_of(records["symbol"]), sizes, data)

    def _dead(self, batch: FrameBatch, one: Rejected) -> DeadFrame:
        if not 0 <= one.index < len(batch):
            raise NormalizationError(f"rejected frame {one.index} of a batch of {len(batch)}")
        origin = f"{batch.origin or batch.connection}/{batch.first_number + one.index}"
        return DeadFrame(
            origin, readable(one.reason), readable(one.detail), batch.frames[one.index][: self._payload_bytes]
        )

    def _letters(self, dead: Sequence[DeadFrame], now_ms: int) -> pa.RecordBatch:
        import pyarrow as pa

        columns: dict[str, list[Any]] = {
            "symbol": [""] * len(dead),
            "exchange": [self._exchange] * len(dead),
            "exchange_timestamp_ms": [now_ms] * len(dead),
            "reason": [d.reason for d in dead],
            "detail": [d.detail for d in dead],
            "stage": [STAGE] * len(dead),
            "origin": [d.origin for d in dead],
            "payload": [d.payload for d in dead],
        }
        return pa.RecordBatch.from_pydict(columns, schema=DEAD_LETTERS.arrow_schema)


def readable(text: str) -> str:
    """A text that every encoding takes: an author's message may hold what a frame held, lone surrogates too."""
    return text.encode("utf-8", "backslashreplace").decode()


def halves(batch: FrameBatch) -> tuple[FrameBatch, FrameBatch]:
    """A batch in two."""
    at = len(batch) // 2
    first = replace(batch, frames=batch.frames[:at], received_ns=batch.received_ns[:at])
    rest = batch.frames[at:], batch.received_ns[at:], batch.first_number + at
    return first, replace(batch, frames=rest[0], received_ns=rest[1], first_number=rest[2])


def partitions_of(symbols: Any) -> Any:
    """Partition of each record, int32[n], worked out once for each distinct symbol."""
    import numpy as np
    import pyarrow as pa

    words = symbols if pa.types.is_dictionary(symbols.type) else symbols.dictionary_encode()
    of_word = np.array([partition_of(w, PARTITIONS) for w in words.dictionary.to_pylist()], np.int32)
    return of_word[words.indices.to_numpy()]


def joined(parts: Sequence[EncodedBatch]) -> EncodedBatch:
    """Encoded batches of one topic as one."""
    if len(parts) == 1:
        return parts[0]
    import numpy as np

    places = np.concatenate([p.partitions for p in parts], dtype=np.int32)
    sizes = np.concatenate([p.sizes for p in parts], dtype=np.uint32)
    return EncodedBatch(parts[0].topic, parts[0].version, places, sizes, b"".join(p.data for p in parts))
