"""What the dedup suite works with: batches of identities made by hand, and a table that knows every stored row.

The table is brute force over what a test put into it, so it answers as the interface says and nothing else. It can be
away, to see that a store which cannot look up claims nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from k2core.clock import Clock
from k2core.errors import SinkError
from k2core.interfaces.broker import Partition
from k2core.interfaces.dedup import DedupStore, StoredIdentities
from k2core.interfaces.frames import IdKind
from k2core.interfaces.identities import IdentityBatch, Stream, number_of
from k2core.testing.clock import ManualClock
from k2core.testing.conformance.facts import FactSuite, given

PLACE: Partition = ("market.crypto.trades.binance", 3)
OTHER: Partition = ("market.crypto.trades.binance", 4)
BTC, ETH = Stream("binance", "BTCUSDT"), Stream("binance", "ETHUSDT")
KINDS: tuple[IdKind, ...] = ("contiguous", "increasing", "opaque")
HOUR_US = 3_600_000_000
START_NS = 1_790_000_000_000_000_000
START_US = START_NS // 1000


def identities(
    ids: Sequence[int | str],
    offset: int = 0,
    *,
    kind: IdKind = "contiguous",
    place: Partition = PLACE,
    at_us: int = START_US,
    event_time: str = "exchange",
    streams: tuple[Stream, ...] = (BTC,),
    stream: Sequence[int] | None = None,
    order_ms: Sequence[int] | None = None,
) -> IdentityBatch:
    """Consecutive records of one partition, one an id, appended at one time."""
    n = len(ids)
    texts = [str(i) for i in ids]
    plain = all(isinstance(i, int) for i in ids)
    return IdentityBatch(
        data_type="trades", partition=place, kind=kind, streams=streams,
        stream=np.array(stream if stream is not None else [0] * n, np.int32),
        ids=np.array(ids, np.int64) if plain else np.array(texts, object),
        order_ms=np.array(order_ms if order_ms is not None else [at_us // 1000] * n, np.int64), event_time=event_time,
        offsets=np.arange(offset, offset + n, dtype=np.int64), timestamps_us=np.full(n, at_us, np.int64),
    )  # fmt: skip


class KnownTable(StoredIdentities):
    """Knows the batches that a test says are stored.

    Attributes:
        stored: What it holds; a test adds to it or takes away, as commits and rollbacks do.
        away: While true, every call raises `SinkError`.
        asked: Identities looked up so far.
    """

    def __init__(self, *stored: IdentityBatch) -> None:
        self.stored = list(stored)
        self.away = False
        self.asked = 0

    def contains(self, batch: IdentityBatch) -> npt.NDArray[np.bool_]:
        """Which are stored below the batch's own offsets."""
        self._reach()
        self.asked += len(batch)
        first: dict[tuple[Stream, str], int] = {}
        for held in (b for b in self.stored if b.partition == batch.partition):
            for key, offset in zip(_keys(held), held.offsets.tolist(), strict=True):
                first[key] = min(offset, first.get(key, offset))
        own = zip(_keys(batch), batch.offsets.tolist(), strict=True)
        return np.array([first.get(key, offset) < offset for key, offset in own], bool)

    def load(self, partition: Partition, since_us: int) -> Iterator[IdentityBatch]:
        """Rows of one partition, the newest batch first."""
        self._reach()
        for held in reversed(self.stored):
            young = held.where(held.timestamps_us >= since_us)
            if held.partition == partition and len(young):
                yield young

    def marks(self, partition: Partition, before_us: int) -> dict[Stream, int]:
        """The largest mark key of each stream among older rows."""
        self._reach()
        found: dict[Stream, int] = {}
        for held in (b for b in self.stored if b.partition == partition):
            old = held.where(held.timestamps_us < before_us)
            for (stream, text), ms in zip(_keys(old), old.order_ms.tolist(), strict=True):
                number = number_of(text) if held.kind != "opaque" else None
                found[stream] = max(ms if number is None else number, found.get(stream, -1))
        return found

    def _reach(self) -> None:
        if self.away:
            raise SinkError("the table is away")


def _keys(batch: IdentityBatch) -> list[tuple[Stream, str]]:
    return [(batch.streams[s], str(i)) for s, i in zip(batch.stream.tolist(), batch.ids.tolist(), strict=True)]


class DedupFacts(FactSuite):
    """How a dedup store is made, and what is declared of it. A subclass gives `open`, and sets what is true.

    Attributes:
        durable: What is settled outlives the store that settled it: `close` and `open` again, or another process.
        shared: Several owners may use one store at once; `assign` by one fences the `settle` of the one before.
        window_s: Seconds of append time that a store made by `open` remembers at least, at most 3,600,000.
    """

    durable: bool = False
    shared: bool = False
    window_s: float = 3600.0

    def open(self, place: Path, clock: Clock) -> DedupStore:
        """A new store of one data type. Same `place`: the same identities, where they are durable or shared.

        Args:
            place: An empty folder at first, the test's own; what has no files takes its text as a namespace.
            clock: The time; it stands still until the test moves it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define open(self, place, clock) -> DedupStore")

    def save(self, place: Path) -> object:
        """A dump of a durable store, which is closed; by default the bytes of the files in its folder."""
        return {p.relative_to(place): p.read_bytes() for p in place.rglob("*") if p.is_file()}

    def restore(self, place: Path, dump: object) -> None:
        """Put a dump back; the store is closed. By default files that are not in the dump go."""
        assert isinstance(dump, dict), "override restore together with save"
        for path in [p for p in place.rglob("*") if p.is_file()]:
            path.unlink()
        for name, content in dump.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)

    @staticmethod
    def clock() -> ManualClock:
        """The clock that a test moves."""
        return ManualClock(START_NS)

    def started(self, place: Path, table: KnownTable, offset: int = 0, clock: Clock | None = None) -> DedupStore:
        """A store that owns `PLACE` from the table's next offset on."""
        store = given(self.open(place, clock or self.clock()), DedupStore)  # type: ignore[type-abstract]
        store.assign(PLACE, offset, table)
        return store


def claimed(store: DedupStore, batch: IdentityBatch) -> list[bool]:
    """What a claim says, as plain truth values, one a record."""
    mask = store.claim(batch)
    assert isinstance(mask, np.ndarray) and mask.dtype == bool, f"claim returned {type(mask).__name__}, not bool[n]"  # noqa: PT018 - one fact
    assert len(mask) == len(batch), f"claim returned {len(mask)} answers for {len(batch)} records"
    return [bool(x) for x in mask]
