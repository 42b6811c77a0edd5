"""A look at SQLite's write-ahead log before SQLite does: torn at its end, or damaged within?

SQLite stops reading at the first frame whose checksum is wrong and silently drops the rest: right for a torn tail, which
was never acknowledged, and a silent loss of acknowledged records for a flipped bit. The difference shows in what
follows: a later transaction only starts once the one before it is on disk.

Layout (source: SQLite file format, "The Write-Ahead Log"): 32 bytes of header (magic, version, page size, sequence, two
salts, two checksums), then frames of 24 bytes (page number, size after commit or 0, the salts, two cumulative checksums)
and one page.
"""

from __future__ import annotations

import pathlib
import struct
from enum import Enum

import numpy as np

_HEADER, _FRAME = 32, 24
_MASK = 0xFFFFFFFF


class Tail(Enum):
    """How a write-ahead log ends."""

    WHOLE = "whole"
    TORN = "torn"  # behind the last valid commit lies no commit: nothing acknowledged is lost
    DOUBTFUL = (
        "doubtful"  # the last commit is damaged: torn by a power cut before it was acknowledged, or a flipped bit
    )
    DAMAGED = "damaged"  # a commit is damaged and others follow: acknowledged records are gone


def examine(path: pathlib.Path) -> Tail:
    """Say how the write-ahead log at `path` ends; a missing or empty one is whole."""
    data = path.read_bytes() if path.exists() else b""
    if len(data) < _HEADER:
        return Tail.WHOLE if not data else Tail.TORN
    magic, _, page, _, salt1, salt2, sum1, sum2 = struct.unpack(">8I", data[:_HEADER])
    order = ">" if magic & 1 else "<"
    if magic & 0xFFFFFFFE != 0x377F0682 or _checksum(data[:24], order, 0, 0) != (sum1, sum2):
        return _after(data, page, b"", 0) if len(data) > _HEADER else Tail.TORN
    salts = struct.pack(">2I", salt1, salt2)
    at, sums = _HEADER, (sum1, sum2)
    while at + _FRAME + page <= len(data):
        frame = data[at : at + _FRAME + page]
        sums = _checksum(frame[_FRAME:], order, *_checksum(frame[:8], order, *sums))
        if frame[8:16] != salts or struct.unpack(">2I", frame[16:24]) != sums:
            return _after(data, page, salts, at)
        at += _FRAME + page
    return Tail.WHOLE if at == len(data) else Tail.TORN


def _after(data: bytes, page: int, salts: bytes, at: int) -> Tail:
    """What the frames from a bad one on tell; frames of an earlier round have other salts and do not count."""
    if not salts:
        return Tail.DAMAGED
    commits, last, number = [], -1, 0
    while at + _FRAME <= len(data):
        size, own = struct.unpack(">I", data[at + 4 : at + 8])[0], data[at + 8 : at + 16]
        if own == salts or number == 0:
            last = number if own == salts else last
            if size and own == salts:
                commits.append(number)
        at, number = at + _FRAME + page, number + 1
    if not commits:
        return Tail.TORN
    return Tail.DAMAGED if commits[0] < last else Tail.DOUBTFUL


def _checksum(data: bytes, order: str, s0: int, s1: int) -> tuple[int, int]:
    """SQLite's checksum over pairs of 32-bit words: s0 += x0 + s1; s1 += x1 + s0."""
    for x0, x1 in np.frombuffer(data, f"{order}u4").reshape(-1, 2).tolist():
        s0 = (s0 + x0 + s1) & _MASK
        s1 = (s1 + x1 + s0) & _MASK
    return s0, s1
