"""`RecordingWriter`: blocks of frames to files, rotated by size and age, sealed with a checksum. Synchronous.

Survives: a crash (what was flushed is whole; the torn end is found by the reader), a full disk (the file at hand is left
as it is, the error goes to the caller, the next block begins a new file).
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from k2core.clock import Clock
from k2core.interfaces.frames import FrameBatch
from k2core.recording import names
from k2core.recording.block import COLUMNS, CRC, FRAMES, block, checksum
from k2core.recording.keeping import prune
from k2core.recording.settings import RecordingSettings

VERSION = "1"


class RecordingWriter:
    """Writes one connector's frames.

    Args:
        settings: `[recording]`.
        exchange: The market's name; its folder.
        instance: Name of the connector's section.
        data_types: What the connector was asked for: a replay asks for the same.
        clock: Ages of files.
    """

    def __init__(
        self, settings: RecordingSettings, exchange: str, instance: str, data_types: Sequence[str], clock: Clock
    ) -> None:
        self.settings, self._clock = settings, clock
        self.folder = settings.path / exchange
        self._session = names.session(clock.now_ns(), instance)
        about = {
            "k2_recording": VERSION,
            "exchange": exchange,
            "instance": instance,
            "session": self._session,
            "data_types": " ".join(data_types),
        }
        self._schema = pa.schema(COLUMNS).with_metadata(about)
        self._open: _OpenFile | None = None
        self._number = 0

    def write(self, batches: Sequence[FrameBatch]) -> None:
        """Keep frames; on return they are in the file, and on the disk where `sync` is set.

        Raises:
            OSError: They are not kept.
        """
        at_hand = self._open or self._begin()
        try:
            at_hand.write(block(batches, self._schema))
        except BaseException:
            self._open = None
            at_hand.abandon()
            raise
        if at_hand.size >= self.settings.file_bytes or self._age(at_hand) >= self.settings.file_s:
            self._seal()

    def close(self) -> None:
        """Seal the file at hand. May be called again."""
        if self._open:
            self._seal()

    def _age(self, file: _OpenFile) -> float:
        return self._clock.monotonic() - file.since

    def _begin(self) -> _OpenFile:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / names.file_name(self._session, self._number)
        self._number += 1
        self._open = _OpenFile(path, self._schema, self._clock.monotonic(), self.settings.sync)
        return self._open

    def _seal(self) -> None:
        file, self._open = self._open, None
        assert file
        file.seal()
        prune(self.folder, self.settings, self._clock)


class _WholeWrites(io.RawIOBase):
    """A file without a buffer whose writes are whole or raise: nothing is left behind that a close would try again."""

    def __init__(self, path: Path) -> None:
        self._file, self._at = path.open("xb", buffering=0), 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any, /) -> int:
        """Write all of it."""
        left = memoryview(data).cast("B")
        size = len(left)
        while left:
            left = left[self._file.write(left) :]
        self._at += size
        return size

    def tell(self) -> int:
        """Bytes written."""
        return self._at

    def sync(self) -> None:
        """Wait until the disk has it."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


class _OpenFile:
    """One file while it is written."""

    def __init__(self, path: Path, schema: pa.Schema, since: float, sync: bool) -> None:
        self.path, self.since, self._sync = path, since, sync
        self._schema, self._frames = schema, 0
        self._file = _WholeWrites(path)
        self._stream: Any = pa.ipc.new_stream(self._file, schema, options=pa.ipc.IpcWriteOptions(compression="zstd"))

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._file.tell()

    def write(self, records: pa.RecordBatch) -> None:
        """Append a block; on return it is in the file."""
        self._append(records, {})
        self._frames += records.num_rows

    def _append(self, records: pa.RecordBatch, more: Mapping[bytes, bytes]) -> None:
        self._stream.write_batch(records, {CRC: str(checksum(records)).encode(), **more})
        if self._sync:
            self._file.sync()

    def seal(self) -> None:
        """Say how many frames there are, write the digest, and take the final name.

        Raises:
            OSError: It stays as it is, readable, under its open name.
        """
        try:
            empty = pa.RecordBatch.from_pylist([], schema=self._schema)
            self._append(empty, {FRAMES: str(self._frames).encode()})
            self._stream.close()
        finally:
            self._file.close()
        final = names.sealed_name(self.path)
        names.digest_file(final).write_text(f"{names.digest(self.path)}  {final.name}\n")
        self.path.rename(final)

    def abandon(self) -> None:
        """Leave the file as far as it came."""
        self._file.close()
