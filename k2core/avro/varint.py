"""Avro's zigzag varints, a whole column at a time. Source: Avro 1.12 specification, "Primitive Types", binary encoding."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Longs = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

PADDING = 16
"""Zero bytes that must follow the data of a buffer to be decoded, so that reading ahead stays inside."""

_STOPS = np.uint64(0x8080808080808080)
_FOLDS = (
    (np.uint64(0x007F007F007F007F), np.uint64(0x7F007F007F007F00), np.uint64(1)),
    (np.uint64(0x00003FFF00003FFF), np.uint64(0x3FFF00003FFF0000), np.uint64(2)),
    (np.uint64(0x000000000FFFFFFF), np.uint64(0x0FFFFFFF00000000), np.uint64(4)),
)


def width_of(values: Longs) -> int:
    """Bytes that the longest of these values takes."""
    if not len(values):
        return 1
    return max(1, (int(zigzag(values).max()).bit_length() + 6) // 7)


def zigzag(values: Longs) -> npt.NDArray[np.uint64]:
    """Sign in the lowest bit: 0, -1, 1, -2 … become 0, 1, 2, 3 …."""
    return (values.astype(np.uint64) << np.uint64(1)) ^ (values >> 63).astype(np.uint64)


def write(values: Longs, body: Bytes, mask: Mask) -> None:
    """Write one varint a row into a byte matrix (n × width) and mark the bytes that count."""
    width = body.shape[1]
    rest = zigzag(values)
    mask[:, 0] = True
    for k in range(width):
        low = (rest & np.uint64(127)).astype(np.uint8)
        rest = rest >> np.uint64(7)
        more = rest > 0
        body[:, k] = low | (more.astype(np.uint8) << np.uint8(7))
        if k + 1 < width:
            mask[:, k + 1] = more


def read(buffer: Bytes, at: Longs) -> tuple[Longs, Longs]:
    """Read one varint a row.

    Args:
        buffer: The data, with `PADDING` zero bytes behind it.
        at: Where each row's varint starts.

    Returns:
        Values, and their lengths in bytes; the length is 0 where there is no valid varint of at most 10 bytes.
    """
    words = np.ndarray((len(buffer) - 7,), "<u8", buffer, 0, (1,))[at]
    stops = ~words & _STOPS
    lowest = stops & (~stops + np.uint64(1))
    # Everything below the first byte without a continuation bit, and that byte itself.
    kept = words & (lowest | (lowest - np.uint64(1)))
    for low, high, shift in _FOLDS:
        kept = (kept & low) | ((kept & high) >> shift)
    values = (kept >> np.uint64(1)).astype(np.int64) ^ -(kept & np.uint64(1)).astype(np.int64)
    lengths = ((np.bitwise_count(lowest - np.uint64(1)).astype(np.int64)) + 1) >> 3
    if not stops.all():
        for row in np.flatnonzero(stops == 0):
            values[row], lengths[row] = _read_long(buffer, int(at[row]))
    return values, lengths


def _read_long(buffer: Bytes, at: int) -> tuple[int, int]:
    """One varint of nine or ten bytes."""
    value = 0
    for k in range(min(10, len(buffer) - at)):
        byte = int(buffer[at + k])
        value |= (byte & 127) << (7 * k)
        if byte < 128:
            return ((value >> 1) ^ -(value & 1), k + 1) if value < 1 << 64 else (0, 0)
    return 0, 0
