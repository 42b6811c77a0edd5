"""`RecordedFile`: one file of a recording, read with every check: digest, checksums, torn end, number of frames.

Two kinds: k2's own (`.arrows`, `.arrows.part`) and gzipped lines of `<Unix ns> <frame>` as others keep them (`.gz`).
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from k2core.errors import ConfigError, K2Error
from k2core.interfaces.frames import FrameBatch
from k2core.recording import names
from k2core.recording.block import COLUMNS, CRC, FRAMES, batches_of, checksum

_LINES_AT_ONCE = 8192
_BLOCK = b"\xff\xff\xff\xff"
"""How a block begins, and much else may."""


class RecordingError(K2Error):
    """A recording is damaged: what could be read before the damage was given out."""


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """One file.

    Args:
        path: Where it lies.
        exchange: Whose frames; empty where the file does not say (lines).
        data_types: What was asked for; empty where the file does not say.
        session: One run of one connector; connections are numbered within it.
    """

    path: Path
    exchange: str = ""
    data_types: tuple[str, ...] = ()
    session: str = ""

    @property
    def sealed(self) -> bool:
        """Whether it was finished in order; only such a file can be proven whole."""
        return self.path.name.endswith(names.SEALED)

    def batches(self) -> Iterator[FrameBatch]:
        """Every frame, in the order it came.

        Raises:
            RecordingError: The file is damaged; an open file that is torn at its end just ends there.
        """
        return _lines(self.path) if self.path.name.endswith(names.LINES) else self._blocks()

    def _blocks(self) -> Iterator[FrameBatch]:
        if self.sealed:
            self._check_digest()
        frames, said = 0, None
        with self.path.open("rb") as file:
            for records, about in self._records(file):
                if not _is_as_written(records, about):
                    raise RecordingError(f"{self.path}: frames after the first {frames:,} are not what was written")
                frames += records.num_rows
                said = int(about[FRAMES]) if FRAMES in about else None
                yield from batches_of(records)
        if self.sealed and said != frames:
            raise RecordingError(f"{self.path}: {frames:,} frames, but it was sealed with {said}")

    def _check_digest(self) -> None:
        beside = names.digest_file(self.path)
        if not beside.exists():
            return  # checksums within the file still hold; moving files without their digest is no damage
        if names.digest(self.path) != beside.read_text().split(maxsplit=1)[0]:
            raise RecordingError(f"{self.path}: its bytes are not those that {beside.name} stands for")

    def _records(self, file: Any) -> Iterator[tuple[pa.RecordBatch, dict[bytes, bytes]]]:
        end = 0
        try:
            stream = pa.ipc.open_stream(file)
            while True:
                end = file.tell()
                records, about = stream.read_next_batch_with_custom_metadata()
                yield records, dict(about.items()) if about else {}
        except StopIteration:
            return
        except (pa.ArrowException, OSError, EOFError, MemoryError) as error:
            if self.sealed or _goes_on(file, end):
                raise RecordingError(f"{self.path}: damaged behind its first {end:,} bytes: {error}") from error


def _is_as_written(records: pa.RecordBatch, about: dict[bytes, bytes]) -> bool:
    try:
        records.validate(full=True)
        return str(checksum(records)).encode() == about.get(CRC)
    except (pa.ArrowException, ValueError):
        return False


def _goes_on(file: Any, end: int) -> bool:
    """Whether whole blocks follow a place that cannot be read: then it is damage, and no torn end."""
    schema = pa.schema(COLUMNS)
    file.seek(end)
    rest = file.read()
    at = rest.find(_BLOCK, 1)
    while at >= 0:
        try:
            pa.ipc.read_record_batch(pa.ipc.read_message(pa.py_buffer(rest)[at:]), schema)
            return True
        except (pa.ArrowException, OSError, EOFError, MemoryError, TypeError):
            at = rest.find(_BLOCK, at + 1)
    return False


def opened(path: Path) -> RecordedFile:
    """A file with what it says of itself.

    Raises:
        ConfigError: It is no recording.
    """
    if path.name.endswith(names.LINES):
        return RecordedFile(path, session=path.name)
    try:
        text = _head(path)
        return RecordedFile(path, text["exchange"], tuple(text["data_types"].split()), text["session"])
    except (pa.ArrowException, EOFError, OSError, KeyError, UnicodeDecodeError) as error:
        if isinstance(error, PermissionError | FileNotFoundError):
            raise
        if path.name.endswith(names.OPEN):
            return RecordedFile(path, session=path.name)  # torn within its first bytes: no frame in it
        raise ConfigError(f"{path} is no recording of k2, or its first bytes are damaged: {error}") from error


def _head(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        about = pa.ipc.open_stream(file).schema.metadata or {}
    return {key.decode(): value.decode() for key, value in about.items()}


def _lines(path: Path) -> Iterator[FrameBatch]:
    number, times, frames = 0, list[int](), list[bytes]()
    try:
        with gzip.open(path, "rb") as text:
            for line in text:
                received, _, frame = line.rstrip(b"\r\n").partition(b" ")
                if not received.isdigit():
                    raise RecordingError(f"{path}: line {number + len(frames) + 1} is no '<Unix ns> <frame>'")
                times.append(int(received))
                frames.append(frame)
                if len(frames) == _LINES_AT_ONCE:
                    yield FrameBatch(frames, times, 0, number)
                    number, times, frames = number + len(frames), [], []
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"{path}: {error}") from error
    if frames:
        yield FrameBatch(frames, times, 0, number)
