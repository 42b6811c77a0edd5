"""An endless stream of ready-made WebSocket frames: ids, times and nothing else are written anew, all in one go.

A sender that shares two cores with what it measures must cost next to nothing: a block of frames is one buffer, of which
numpy overwrites the digits (about 0.2 µs a frame).
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from benchmarks import tape

Longs = npt.NDArray[np.int64]
QUOTE = b'{"stream":"%b@bookTicker","data":{"u":%d,"s":"%b","b":"%b","B":"%b","a":"%b","A":"%b"}}'
ID_DIGITS, TIME_DIGITS = 10, 13


def framed(payload: bytes) -> bytes:
    """A server's whole text message."""
    size = len(payload)
    return (bytes((0x81, size)) if size < 126 else struct.pack("!BBH", 0x81, 126, size)) + payload


class Block:
    """Some frames, sent again and again with the ids that follow."""

    def __init__(self, frames: list[bytes]) -> None:
        wire = [framed(f) for f in frames]
        starts = np.concatenate([[0], np.cumsum([len(w) for w in wire])])[:-1]
        self._buffer = np.frombuffer(b"".join(wire), np.uint8).copy()
        streams = [stream_of(f) for f in frames]
        names = sorted(set(streams))
        self._stream: Longs = np.array([names.index(s) for s in streams], np.int64)
        self.names, self.frames = names, len(frames)
        self._counts: Longs = np.bincount(self._stream, minlength=len(names))
        self._rank = _ranks(self._stream, len(names))
        marks = [b'"t":' if s.endswith(b"@trade") else b'"u":' for s in streams]
        self._ids = _places([w.index(m) + 4 for w, m in zip(wire, marks, strict=True)], starts, ID_DIGITS)
        timed = [k for k, s in enumerate(streams) if s.endswith(b"@trade")]
        marked = [(k, wire[k].index(mark) + 4) for k in timed for mark in (b'"E":', b'"T":')]
        self._times = _places([at for _, at in marked], starts[[k for k, _ in marked]], TIME_DIGITS)

    def render(self, now_ms: int, next_ids: dict[bytes, int]) -> bytes:
        """The block with the ids from `next_ids` on, which is moved on."""
        first: Longs = np.array([next_ids[n] for n in self.names], np.int64)
        self._buffer[self._ids] = _digits(first[self._stream] + self._rank, ID_DIGITS)
        self._buffer[self._times] = _digits(np.array([now_ms], np.int64), TIME_DIGITS)
        for name, ends in zip(self.names, (first + self._counts).tolist(), strict=True):
            next_ids[name] = ends
        return self._buffer.tobytes()


def blocks(rate: int, size: int, *, quotes: bool) -> tuple[list[Block], dict[bytes, int]]:
    """A second of frames in blocks of `size`, and the first id of each stream. `quotes`: every other frame is one."""
    frames = tape.frames(rate)
    if quotes:
        frames = [_quote(f) if n % 2 else f for n, f in enumerate(frames)]
    first: dict[bytes, int] = {}
    for name in sorted({stream_of(f) for f in frames}):
        first[name] = 1_000_000_000 + 100_000_000 * len(first)
    return [Block(part) for part in tape.cut(frames, size)], first


def stream_of(frame: bytes) -> bytes:
    """`btcusdt@trade`."""
    return frame[11 : frame.index(b'"', 11)]


def _quote(trade: bytes) -> bytes:
    name = stream_of(trade).removesuffix(b"@trade")
    price = trade.split(b'"p":"')[1].split(b'"')[0]
    return QUOTE % (name, 10 ** (ID_DIGITS - 1), name.upper(), price, b"1.50000000", price, b"2.25000000")


def _ranks(codes: Longs, kinds: int) -> Longs:
    """How many equal codes come before each."""
    ranks = np.zeros(len(codes), np.int64)
    for code in range(kinds):
        at = np.flatnonzero(codes == code)
        ranks[at] = np.arange(len(at))
    return ranks


def _places(within: list[int], starts: Longs, digits: int) -> Longs:
    return (np.array(within, np.int64) + starts)[:, None] + np.arange(digits)


def _digits(values: Longs, digits: int) -> npt.NDArray[np.uint8]:
    powers = 10 ** np.arange(digits - 1, -1, -1, dtype=np.int64)
    return (values[:, None] // powers % 10 + 48).astype(np.uint8)
