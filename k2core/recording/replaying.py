"""Recordings played again: all files in order, as a connector that feeds the unchanged normalizer and log.

Receive times are the recorded ones, so that records come out as they did. Connections are numbered anew, for each run
of a recorder numbered its own from 0.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from k2core.clock import Clock
from k2core.errors import ConfigError
from k2core.interfaces.connector import Connector
from k2core.interfaces.frames import FrameBatch, NormalizedBatch, Rejected
from k2core.interfaces.normalizer import Normalizer
from k2core.recording.names import recordings
from k2core.recording.reader import RecordedFile, opened

UNKNOWN = "unknown-message"
_STRIDE = 1000


def files_of(path: Path, exchange: str = "") -> list[RecordedFile]:
    """Every file of a recording, oldest first; each says whose it is.

    Args:
        path: A file or a folder.
        exchange: Only this one's, and whose files are that do not say so themselves.

    Raises:
        ConfigError: There is none, or a file does not say whose it is and neither does `exchange`.
    """
    found = [opened(one) for one in recordings(path)]
    if nameless := [file.path for file in found if not file.exchange and not exchange]:
        raise ConfigError(f"{nameless[0]} does not say whose frames it holds: add --exchange NAME")
    named = [replace(file, exchange=file.exchange or exchange) for file in found]
    if kept := [file for file in named if not exchange or file.exchange == exchange]:
        return kept
    raise ConfigError(f"{path} holds frames of {', '.join(sorted({f.exchange for f in named}))}, none of {exchange}")


@dataclass(frozen=True, slots=True)
class Window:
    """Which frames are played, by receive time; Unix ns, `last_ns` not included."""

    first_ns: int = 0
    last_ns: int = 1 << 63

    def of(self, batch: FrameBatch) -> Iterator[FrameBatch]:
        """What of a batch lies within, as runs without holes."""
        times = batch.received_ns
        if self.first_ns <= min(times) and max(times) < self.last_ns:
            yield batch
            return
        inside = [self.first_ns <= time < self.last_ns for time in times]
        start = 0
        while start < len(times):
            end = start
            while end < len(times) and inside[end] == inside[start]:
                end += 1
            if inside[start]:
                yield FrameBatch(
                    batch.frames[start:end], times[start:end], batch.connection, batch.first_number + start
                )
            start = end


class ReplayConnector(Connector):
    """Yields a recording's frames.

    Args:
        files: All of one exchange, in the order in which they are played.
        clock: For `speed`.
        ended: Called once, when the last frame is out; `frames()` then waits to be closed, as a live one would.
        speed: 1 as recorded, 10 ten times as fast; 0 as fast as they are taken.
        window: Only these.
    """

    def __init__(
        self,
        files: Sequence[RecordedFile],
        clock: Clock,
        ended: Callable[[], object],
        *,
        speed: float = 0,
        window: Window | None = None,
    ) -> None:
        self._files, self._clock, self._ended = files, clock, ended
        self._speed, self._window = speed, window or Window()
        self._closed = asyncio.Event()
        self._began: tuple[int, float] | None = None
        self.played = 0
        self.complete = False

    async def frames(self) -> AsyncIterator[FrameBatch]:
        """The frames.

        Raises:
            RecordingError: A file is damaged; everything before the damage was given out.
        """
        for batch in self._all():
            for part in _cut(batch):
                await self._due(part.received_ns[0])
                if self._closed.is_set():
                    return
                yield part
                self.played += len(part)
        self.complete = True
        self._ended()
        await self._closed.wait()

    def _all(self) -> Iterator[FrameBatch]:
        numbers: dict[tuple[str, int], int] = {}
        for file in self._files:
            for batch in file.batches():
                for part in self._window.of(batch):
                    connection = numbers.setdefault((file.session, part.connection), len(numbers))
                    yield replace(part, connection=connection)

    async def _due(self, received_ns: int) -> None:
        """Wait until a frame's time has come."""
        if not self._speed:
            return
        first_ns, since = self._began = self._began or (received_ns, self._clock.monotonic())
        wait = since + (received_ns - first_ns) / 1e9 / self._speed - self._clock.monotonic()
        if wait > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), wait)

    def facts(self) -> Mapping[str, Any]:
        """How far it is."""
        return {"frames_passed": self.played}

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()


def _cut(batch: FrameBatch) -> list[FrameBatch]:
    """Pieces that a queue likes."""
    if len(batch) <= _STRIDE:
        return [batch]
    return [
        FrameBatch(
            batch.frames[at : at + _STRIDE],
            batch.received_ns[at : at + _STRIDE],
            batch.connection,
            batch.first_number + at,
        )
        for at in range(0, len(batch), _STRIDE)
    ]


class ReplayNormalizer(Normalizer):
    """A normalizer whose records say that they come from a replay.

    Args:
        inner: The exchange's.
        skip_unknown: Whether frames of channels that it does not know are passed over; else they are dead letters.
    """

    def __init__(self, inner: Normalizer, *, skip_unknown: bool = False) -> None:
        self._inner, self._skip_unknown = inner, skip_unknown
        self.skipped = 0

    def normalize(self, batch: FrameBatch) -> NormalizedBatch:
        """As the inner one, with `source` = `replay`."""
        found = self._inner.normalize(batch)
        records = {name: _as_replay(part) for name, part in found.records.items()}
        rejected, control = list(found.rejected), found.control
        if self._skip_unknown:
            kept: list[Rejected] = [one for one in rejected if one.reason != UNKNOWN]
            control += len(rejected) - len(kept)
            self.skipped += len(rejected) - len(kept)
            rejected = kept
        return replace(found, records=records, rejected=rejected, control=control)


def _as_replay(records: Any) -> Any:
    import pyarrow as pa

    words = pa.DictionaryArray.from_arrays(pa.array([0] * records.num_rows, pa.int32()), ["replay"])
    at = records.schema.get_field_index("source")
    return records.set_column(at, "source", words) if at >= 0 else records.append_column("source", words)
