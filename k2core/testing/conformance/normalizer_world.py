"""What the normalizer suite works with: examples, batches of them, and records as plain rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from k2core.interfaces.frames import ConnectorFacts, FrameBatch, NormalizedBatch, Rejected
from k2core.interfaces.normalizer import Normalizer
from k2core.records.builtin import BUILTIN_DATA_TYPES
from k2core.records.data_type import DataType
from k2core.testing.conformance.examples import Example
from k2core.testing.conformance.facts import given
from k2core.testing.conformance.json_edit import JsonText, Value
from k2core.testing.conformance.light import LightSuite

RECEIVED_NS = 1_790_000_000_123_456_789
APART_NS = 1_000_001
Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a normalizer made of a batch, as plain values.

    Args:
        rows: By data type, where there are any.
        rejected: As it came.
        control: As it came.
        yielding: As it came.
        frames: How many frames there were.
    """

    rows: Rows
    rejected: Sequence[Rejected]
    control: int
    yielding: int
    frames: int

    @property
    def places(self) -> list[int]:
        """Which frames were refused."""
        return [one.index for one in self.rejected]

    def accounts(self) -> str:
        """What the books say, for messages."""
        books = f"yielding {self.yielding}, control {self.control}, rejected {len(self.rejected)}"
        return f"{self.frames} frames: {books}{self.why()}"

    def why(self) -> str:
        """The first refusal, for messages where records are missing; empty where there is none."""
        return "".join(f"; frame {one.index} is refused: {one.reason}: {one.detail[:200]}" for one in self.rejected[:1])


class NormalizerFacts(LightSuite):
    """What the author of a normalizer gives and declares.

    Attributes:
        facts: What the connector declares of its channels (`Component.capabilities`).
        examples: Sound frames in the order they came, at least two records of one symbol a data type, both sides among
            the trades; prices, quantities and ids that differ from each other.
        control: Frames without market data: acknowledgements, heartbeats, farewells.
        data_types: Data types of the plugin's own that the examples use.
        json_frames: Whether frames are JSON. Where they are not, `edit` says nothing and structure is not tested.
    """

    facts: ClassVar[ConnectorFacts]
    examples: ClassVar[Sequence[Example]]
    control: ClassVar[Sequence[bytes]] = ()
    data_types: ClassVar[Sequence[DataType]] = ()
    json_frames: ClassVar[bool] = True

    def reprice(self, example: Example, data_type: str, column: str, text: str) -> bytes:
        """The example's frame with another number in its first record. Override where it is not printed in decimals."""
        printed = example.records[data_type][0][column]
        frame = JsonText(example.frame)
        found = frame.printing(Decimal(str(printed)))
        assert found, f"no field of the example prints {column} {printed}: correct the example, or override `reprice`"
        return frame.put(found[0], text)

    def _data_type(self, name: str) -> DataType:
        known = {one.name: one for one in (*BUILTIN_DATA_TYPES, *self.data_types)}
        assert name in known, f"the normalizer gives {name}, of which the suite knows nothing: list it in `data_types`"
        return known[name]

    def _normalizer(self) -> Normalizer:
        return given(self.make(), Normalizer)  # type: ignore[type-abstract]

    def _frames(self) -> list[bytes]:
        assert self.examples, "the suite needs `examples`: frames as the exchange sent them, and the records in them"
        return [example.frame for example in self.examples]

    def _read(self, frames: Sequence[bytes], normalizer: Normalizer | None = None, first: int = 0) -> Outcome:
        """Normalize frames; their receive times are those of places `first`, `first` + 1 …"""
        times = [RECEIVED_NS + APART_NS * (first + place) for place in range(len(frames))]
        return outcome((normalizer or self._normalizer()).normalize(FrameBatch(list(frames), times)), len(frames))

    def _of_json(self) -> list[tuple[Example, JsonText]]:
        return [(example, JsonText(example.frame)) for example in self.examples]


def outcome(normalized: NormalizedBatch, frames: int) -> Outcome:
    """A normalized batch as plain values."""
    rows = {name: batch.to_pylist() for name, batch in normalized.records.items() if batch.num_rows}
    rejected = list(normalized.rejected)
    return Outcome(rows, rejected, normalized.control, normalized.yielding, frames)


def added(*parts: Rows) -> Rows:
    """Rows one after the other."""
    rows: Rows = {}
    for part in parts:
        for name, some in part.items():
            rows.setdefault(name, []).extend(some)
    return rows


def timeless(rows: Rows) -> Rows:
    """Rows without what depends on when their frames were received."""
    return {name: [_timeless(row) for row in some] for name, some in rows.items()}


def _timeless(row: Mapping[str, Any]) -> dict[str, Any]:
    gone = {"received_timestamp_us"}
    if row.get("timestamp_source") == "received":
        gone |= {"exchange_timestamp_ms", "exchange_timestamp_us"}
    return {name: value for name, value in row.items() if name not in gone}


def named(member: Value) -> str:
    """A member's place in its frame, for messages."""
    path, value = [], member
    while value.parent is not None:
        path.append(value.key or str(value.parent.parts.index(value)))
        value = value.parent
    return ".".join(reversed(path))
