"""Reads SQLite's write-ahead log without SQLite: which of its frames are whole, and what lies behind the first that is not.

Source: SQLite's "Database File Format", section 4. A header of 32 bytes (magic, version, page size, checkpoint number,
two salts, two sums), then frames of 24 + page size bytes (page number, size of the file after a commit or 0, the salts,
two sums). A frame's sums go on from the sums stored in the frame before, so each can be checked by itself. SQLite takes
the frames up to the first bad one and throws the rest away without a word.
"""

from __future__ import annotations

import pathlib
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_HEADER = struct.Struct(">8I")
_MAGIC = (0x377F0682, 0x377F0683)
_FRAME = 24
_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class WalScan:
    """What the write-ahead log looks like.

    Args:
        header: Whether it has a whole header; without, SQLite ignores the file.
        good: Frames before the first bad one.
        own: Whether that bad frame carries this log's salts: written whole or torn, not left over from earlier.
        good_after: Whole frames behind the bad one.
        within: The bad frame lies within a transaction, not right behind a commit.
        commits_after: Whole commit frames behind the bad one that are followed by more whole frames.
        partial: The file ends within a frame.
    """

    header: bool = False
    good: int = 0
    own: bool = False
    good_after: int = 0
    within: bool = False
    commits_after: int = 0
    partial: bool = False


def scan(path: pathlib.Path) -> WalScan:
    """Look at a write-ahead log. A file that is not there, or empty, has no header."""
    if not path.exists() or path.stat().st_size < _HEADER.size:
        return WalScan()
    with path.open("rb") as file:
        start = file.read(_HEADER.size)
    magic, _, page, _, _, _, *sums = _HEADER.unpack(start)
    words = ">u4" if magic & 1 else "<u4"
    head = np.frombuffer(start, np.uint8, 24)[None, :]
    if magic not in _MAGIC or _sums(head, np.zeros((1, 2), np.uint32), words).tolist() != [sums]:
        return WalScan()
    page = 65_536 if page == 1 else page
    return _scan_frames(path, np.frombuffer(start, ">u4"), page, words)


def _scan_frames(path: pathlib.Path, header: npt.NDArray[np.uint32], page: int, words: str) -> WalScan:
    length = _FRAME + page
    count, rest = divmod(path.stat().st_size - _HEADER.size, length)
    whole, commit, own = np.zeros(count, bool), np.zeros(count, bool), np.zeros(count, bool)
    before = header[6:8].astype(np.uint32)
    for low in range(0, count, _AT_ONCE):
        size = min(_AT_ONCE, count - low)
        raw = np.fromfile(path, np.uint8, size * length, offset=_HEADER.size + low * length).reshape(size, length)
        fields = np.ascontiguousarray(raw[:, :_FRAME]).view(">u4").astype(np.uint32)
        seeds = np.vstack([before, fields[:-1, 4:6]])
        summed = np.concatenate([raw[:, :8], raw[:, _FRAME:]], axis=1)
        here = slice(low, low + size)
        own[here] = (fields[:, 2:4] == header[4:6]).all(axis=1)
        whole[here] = own[here] & (_sums(summed, seeds, words) == fields[:, 4:6]).all(axis=1)
        commit[here] = fields[:, 1] != 0
        before = fields[-1, 4:6]
    return _verdict(whole, commit, own, partial=rest != 0)


def _verdict(
    whole: npt.NDArray[np.bool_], commit: npt.NDArray[np.bool_], own: npt.NDArray[np.bool_], *, partial: bool
) -> WalScan:
    if bool(whole.all()):
        return WalScan(header=True, good=len(whole), partial=partial)
    bad = int(np.argmin(whole))
    after = whole[bad + 1 :]
    commits = np.flatnonzero(after & commit[bad + 1 :])
    last = np.flatnonzero(after)[-1] if after.any() else -1
    return WalScan(
        header=True,
        good=bad,
        own=bool(own[bad]),
        good_after=int(after.sum()),
        within=bad > 0 and not bool(commit[bad - 1]),
        commits_after=int((commits < last).sum()),
        partial=partial,
    )


def _sums(rows: npt.NDArray[np.uint8], seeds: npt.NDArray[np.uint32], words: str) -> npt.NDArray[np.uint32]:
    """SQLite's checksum of every row at once: a loop over words, not over rows."""
    columns = np.ascontiguousarray(np.ascontiguousarray(rows).view(words).astype(np.uint32).T)
    a, b = seeds[:, 0].copy(), seeds[:, 1].copy()
    for i in range(0, len(columns), 2):
        a += columns[i] + b
        b += columns[i + 1] + a
    return np.stack([a, b], axis=1)
