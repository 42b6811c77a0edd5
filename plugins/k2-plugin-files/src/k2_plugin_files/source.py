"""`FileSource`: one file as frames, a row each, from where the log has no more of it.

Reading and hashing happen in a thread, one chunk ahead of nothing: memory holds a chunk, whatever the file's size.
Survives: `kill -9` (a mark, written once rows are in the log, lets the next run pass over them; rows behind the last
mark come again with the same ids, and dedup drops them), a file that grew, and a file that only looks like a known one
(its beginning is read and compared before anything is passed over).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from k2_plugin_files.identity import Chain
from k2_plugin_files.mapping import Plan
from k2_plugin_files.reading import Chunk, chunks, format_of
from k2_plugin_files.rows import RowFrames
from k2core.plugin import Clock, FrameBatch, ImportSource, Mark


class FileSource(ImportSource):
    """Yields a file's rows.

    Args:
        path: The file.
        plan: What of it is wanted.
        marks: How far which files are in the log.
        clock: The receive time of frames.
    """

    def __init__(self, path: Path, plan: Plan, marks: Sequence[Mark], clock: Clock) -> None:
        self._path, self._plan, self._clock = path, plan, clock
        self._by_file: dict[str, list[Mark]] = {}
        for mark in marks:
            self._by_file.setdefault(str(mark.get("file")), []).append(mark)
        self._known = self._frames = 0
        self._first = ""
        self._done: deque[tuple[int, Mark]] = deque()
        self._newest: Mark | None = None
        self._read = 0

    @property
    def known(self) -> int:
        """Rows that the log has already."""
        return self._known

    def mark(self, frames: int) -> Mark | None:
        """How to go on behind the first `frames` frames."""
        while self._done and self._done[0][0] <= frames:
            self._newest = self._done.popleft()[1]
        return self._newest

    def share(self) -> float | None:
        """Bytes read of bytes there are; None for Parquet, whose rows tell it."""
        if format_of(self._path, self._plan.settings) != "csv":
            return None
        size = self._path.stat().st_size
        return min(1.0, self._read / size) if size else 1.0

    def facts(self) -> Mapping[str, Any]:
        """Rows passed over, rows yielded."""
        return {"file": str(self._path), "known": self._known, "rows": self._frames}

    async def frames(self) -> AsyncIterator[FrameBatch]:
        """Rows that the log does not have, in order."""
        known = await asyncio.to_thread(self._proven)
        reading = self._chunks()
        chain = Chain(self._plan.seed)
        while (made := await asyncio.to_thread(self._next, reading, chain)) is not None:
            frames, first = made
            skip = min(len(frames), max(0, known - first + 1))
            self._known += skip
            if skip == len(frames):
                continue
            rest = frames[skip:]
            self._frames += len(rest)
            self._done.append((self._frames, {"file": self._first, "row": chain.row, "digest": chain.digest}))
            now = self._clock.now_ns()
            yield FrameBatch(rest, [now] * len(rest), 0, first + skip, self._path.name)

    def _chunks(self) -> Iterator[Chunk]:
        return chunks(self._path, self._plan.settings, self._plan.wanted, self._plan.whole)

    def _next(self, reading: Iterator[Chunk], chain: Chain) -> tuple[RowFrames, int] | None:
        chunk = next(reading, None)
        if chunk is None:
            return None
        self._read = chunk.read
        ids = self._extended(chain, chunk)
        return RowFrames(chunk.rows, ids if self._plan.makes_ids else None, chunk.broken, chunk.texts), chunk.first

    def _extended(self, chain: Chain, chunk: Chunk) -> Any:
        if chain.row or not chunk.rows.num_rows:
            return chain.extend(chunk.rows, chunk.texts)
        one = Chain(self._plan.seed)  # the first row alone says which file it is
        one.extend(chunk.rows.slice(0, 1), {k: v for k, v in chunk.texts.items() if k == 0})
        self._first = one.digest
        return chain.extend(chunk.rows, chunk.texts)

    def _proven(self) -> int:
        """Rows at the file's beginning that a mark stands for, proven by their digest; 0 where there is no such mark."""
        if not self._by_file:
            return 0
        chain, best = Chain(self._plan.seed), 0
        reading = self._chunks()
        wanted: list[Mark] = []
        for chunk in reading:
            at = 0
            if not chain.row:
                self._extended(chain := Chain(self._plan.seed), _upto(chunk, 1))
                at, wanted = 1, sorted(self._by_file.get(self._first, []), key=lambda m: int(m["row"]))
            for mark in [m for m in wanted if int(m["row"]) < chunk.first + chunk.rows.num_rows]:
                at = self._advance(chain, chunk, at, int(mark["row"]) - chunk.first + 1)
                best = chain.row if chain.digest == mark["digest"] else best
                wanted.remove(mark)
            if not wanted:
                return best
            self._advance(chain, chunk, at, chunk.rows.num_rows)
        return best

    @staticmethod
    def _advance(chain: Chain, chunk: Chunk, start: int, stop: int) -> int:
        if stop > start:
            texts = {k - start: v for k, v in chunk.texts.items() if start <= k < stop}
            chain.extend(chunk.rows.slice(start, stop - start), texts)
        return max(start, stop)


def _upto(chunk: Chunk, rows: int) -> Chunk:
    texts = {k: v for k, v in chunk.texts.items() if k < rows}
    return Chunk(chunk.rows.slice(0, rows), chunk.first, {}, texts)
