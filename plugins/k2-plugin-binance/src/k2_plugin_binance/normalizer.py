"""Frames to records: the usual frames many at a time, the unusual ones one by one, with the same outcome.

The fast way joins all frames of a shape, decodes them at once and looks at whole columns. Whatever it is not sure of
is read again frame by frame, so that a bad frame costs its neighbours time, never their record. Faults survived: any
bytes (`frames.inspect`), frames that look like one shape and are another, numbers a double cannot hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2_plugin_binance import quotes, trades
from k2_plugin_binance.frames import Control, Shape, head_bytes, inspect, shape_of_head
from k2core.plugin import UNREADABLE, Built, FrameBatch, NormalizedBatch, Normalizer, Refusal, Rejected, refusal_of

_MAX_JOINED_BYTES = 64 << 20
"""Frames that are larger together are read singly: somebody sends rubbish, and copies of it would cost memory."""


@dataclass(frozen=True, slots=True)
class _Channel:
    """How the frames of one data type are read."""

    raw: msgspec.json.Decoder[Any]
    wrapped: msgspec.json.Decoder[Any]
    records: Callable[..., Built]


_CHANNELS = {
    "trades": _Channel(trades.RAW, trades.WRAPPED, trades.records),
    "quotes": _Channel(quotes.RAW, quotes.WRAPPED, quotes.records),
}


class BinanceNormalizer(Normalizer):
    """Reads `@trade` and `@bookTicker` frames, raw or combined, with times in milliseconds or microseconds."""

    def normalize(self, batch: FrameBatch) -> NormalizedBatch:
        """Read a batch of frames."""
        return _Reading(batch).finish()


class _Reading:
    """One batch on its way: where each frame goes."""

    def __init__(self, batch: FrameBatch) -> None:
        self.frames = batch.frames
        self.received_ns = np.fromiter(batch.received_ns, np.int64, len(batch))
        self.rejected: list[Rejected] = []
        self.control = 0
        self.rows: dict[str, list[tuple[Sequence[int], list[Any]]]] = {}

    def finish(self) -> NormalizedBatch:
        for shape, places in self._by_shape().items():
            if shape is None or not self._read_together(shape, places):
                self._read_one_by_one(places)
        records = {data_type: batch for data_type in self.rows if (batch := self._records(data_type)) is not None}
        return NormalizedBatch(
            records=records,
            rejected=sorted(self.rejected, key=lambda one: one.index),
            control=self.control,
            yielding=sum(batch.num_rows for batch in records.values()),
        )

    def _by_shape(self) -> dict[Shape | None, Sequence[int]]:
        """Places of the frames of each shape; few heads are distinct, so each is looked at once."""
        size = head_bytes(self.frames[0]) if self.frames else 0
        heads = [frame[:size] for frame in self.frames]
        shapes = {head: shape_of_head(head) for head in set(heads)}
        places: dict[Shape | None, list[int]] = {shape: [] for shape in shapes.values()}
        if len(places) == 1:
            return dict.fromkeys(places, range(len(heads)))
        append = {head: places[shape].append for head, shape in shapes.items()}
        for place, head in enumerate(heads):
            append[head](place)
        return dict(places)

    def _read_together(self, shape: Shape, places: Sequence[int]) -> bool:
        rows = _decode_lines(shape, [self.frames[place] for place in places])
        if rows is None:
            return False
        self.rows.setdefault(shape.data_type, []).append((places, rows))
        return True

    def _read_one_by_one(self, places: Iterable[int]) -> None:
        for place in places:
            answer = _read(self.frames[place])
            if isinstance(answer, Control):
                self.control += 1
            elif isinstance(answer, Refusal):
                self.rejected.append(Rejected(place, *answer))
            else:
                data_type, row = answer
                self.rows.setdefault(data_type, []).append(((place,), [row]))

    def _records(self, data_type: str) -> pa.RecordBatch | None:
        places, rows = _in_order(self.rows[data_type])
        built = _CHANNELS[data_type].records(rows, self._received(places))
        self.rejected += [Rejected(places[row], *why) for row, why in built.refused]
        return built.records

    def _received(self, places: Sequence[int]) -> npt.NDArray[np.int64]:
        return self.received_ns if len(places) == len(self.frames) else self.received_ns[list(places)]


def _in_order(parts: list[tuple[Sequence[int], list[Any]]]) -> tuple[Sequence[int], list[Any]]:
    """Rows that were read in several parts, in the order of their frames."""
    if len(parts) == 1:
        return parts[0]
    pairs = sorted(
        (pair for places, rows in parts for pair in zip(places, rows, strict=True)), key=lambda pair: pair[0]
    )
    return [place for place, _ in pairs], [row for _, row in pairs]


def _decode_lines(shape: Shape, frames: list[bytes]) -> list[Any] | None:
    """Frames of one shape decoded at once, or None where they must be read singly.

    Each frame stands on a line of its own, begins with a brace and ends with one. `}`, newline, `{` occurs in no JSON
    value, so no value crosses a line; as many values as frames then means one for each.
    """
    if sum(map(len, frames)) > _MAX_JOINED_BYTES:
        return None
    joined = b"\n".join(frames)
    if not joined.startswith(b"{") or not joined.endswith(b"}") or not _is_utf8(joined):
        return None
    text = np.frombuffer(joined, np.uint8)
    breaks = np.flatnonzero(text == ord("\n"))
    if len(breaks) != len(frames) - 1 or (text[breaks - 1] != ord("}")).any() or (text[breaks + 1] != ord("{")).any():
        return None
    try:
        rows = _decoder(shape).decode_lines(joined)
    except UNREADABLE:
        return None
    if len(rows) != len(frames):
        return None
    return [row.data for row in rows] if shape.wrapped else rows


def _decoder(shape: Shape) -> msgspec.json.Decoder[Any]:
    channel = _CHANNELS[shape.data_type]
    return channel.wrapped if shape.wrapped else channel.raw


def _read(frame: bytes) -> tuple[str, Any] | Control | Refusal:
    """One frame, whatever it is. What its head promises goes first, as it does when frames are read together."""
    if not _is_utf8(frame):
        return Refusal("malformed-json", "the frame is not UTF-8")
    promised = shape_of_head(frame[: head_bytes(frame)])
    if promised is not None:
        with suppress(*UNREADABLE):  # then it is looked at more closely
            return promised.data_type, _decode_one(promised, frame)
    what = inspect(frame)
    if not isinstance(what, Shape):
        return what
    try:
        return what.data_type, _decode_one(what, frame)
    except UNREADABLE as error:
        return refusal_of(error)


def _decode_one(shape: Shape, frame: bytes) -> Any:
    row = _decoder(shape).decode(frame)
    return row.data if shape.wrapped else row


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
