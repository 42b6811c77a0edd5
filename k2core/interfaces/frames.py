"""Frames: the bytes an exchange sent, and what a normalizer makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """Frames of one connection, in the order they came.

    Args:
        frames: The raw payloads (WebSocket messages), n of them.
        received_ns: Receive time of each, Unix ns, n of them.
        connection: Number of the connection within this process.
        first_number: Number of the first frame on that connection; the others follow without holes.
        origin: What dead letters name instead of the connection's number, as a file's name.
    """

    frames: Sequence[bytes]
    received_ns: Sequence[int]
    connection: int = 0
    first_number: int = 0
    origin: str = ""

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A frame that could not become records.

    Args:
        index: Position in the batch's `frames`.
        reason: Stable slug: `malformed-json`, `missing-field`, `wrong-type`, `bad-number`, `inexact-number`,
            `unknown-symbol`, `time-out-of-range`, `unknown-message` or one of the author's own.
        detail: What was wrong, in a sentence.
    """

    index: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class NormalizedBatch:
    """What became of a `FrameBatch`: every frame is in exactly one of yielding, control, rejected.

    Args:
        records: By data type name, an Arrow record batch with (at least the required) record columns, in frame order.
        rejected: Frames that are dead letters.
        control: Number of frames that carry no market data (acknowledgements, heartbeats).
        yielding: Number of frames that gave at least one record.
    """

    records: Mapping[str, pa.RecordBatch]
    rejected: Sequence[Rejected] = ()
    control: int = 0
    yielding: int = 0


IdKind = Literal["contiguous", "increasing", "opaque"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFacts:
    """What a connector promises of one data type; the conformance kit tests it.

    Args:
        ids: `contiguous` (each id is the last + 1, per symbol), `increasing`, or `opaque`.
        side: Whose side the feed prints: `taker`, `maker`, or None where there is none.
        event_time: `exchange`, or `received` where the feed prints no time.
        backfill: Whether missing ids can be asked for over REST.
    """

    ids: IdKind
    side: Literal["taker", "maker"] | None = None
    event_time: Literal["exchange", "received"] = "exchange"
    backfill: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorFacts:
    """Declared facts of a connector, its descriptor's `capabilities`.

    Args:
        exchange: The market's name in records and topics, as `binance`.
        asset_class: Second part of the topic's name, as `crypto`.
        channels: By data type name, what holds for it.
        normalizer: Name of the normalizer component; the connector's own name if empty.
    """

    exchange: str
    asset_class: str
    channels: Mapping[str, ChannelFacts] = field(default_factory=dict)
    normalizer: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Subscription:
    """One symbol of one data type, as `Subscription("BTCUSDT", "trades")`."""

    symbol: str
    data_type: str
