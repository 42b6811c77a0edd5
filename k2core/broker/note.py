"""The note beside the log: the number of the newest write that was acknowledged, kept where SQLite cannot lose it.

A write-ahead log whose last transaction is damaged looks exactly like one whose last transaction was never finished, and
SQLite drops both without a word. The note tells them apart: a log that is behind its note lost something acknowledged.
Each process writes a slot of its own (no lock), after its commit; slots are not synced, so that a power cut may leave an
old note, which only makes it say less. A kernel's boot id tells a power cut from `kill -9`.

    slot   magic 4 | flags u32 | serial u64 | boot id 8 bytes | 0 u32 | CRC32C u32       (32 bytes, little-endian)
"""

from __future__ import annotations

import os
import pathlib
import struct
import threading
from dataclasses import dataclass
from functools import cache

import google_crc32c

_SLOT = struct.Struct("<4sIQ8sII")
_MAGIC = b"k2ak"
_NORMAL, _CLEAN = 1, 2
_BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id")


@cache
def boot_id() -> bytes:
    """Eight bytes that change when the machine starts anew; zeros where the system has none."""
    try:
        return bytes.fromhex(_BOOT.read_text().strip().replace("-", ""))[:8]
    except (OSError, ValueError):
        return bytes(8)


@dataclass(frozen=True, slots=True)
class Noted:
    """What the slots say together.

    Args:
        serial: The newest acknowledged write.
        same_boot: No power cut lies between the note and now: it is exact.
        normal: Somebody wrote with durability "normal".
        clean: The last process closed the log in order, and nobody has opened it since.
    """

    serial: int
    same_boot: bool
    normal: bool
    clean: bool


def note_path(path: pathlib.Path) -> pathlib.Path:
    """The note of a log."""
    return path.with_name(f"{path.name}-note")


def read_note(path: pathlib.Path) -> Noted | None:
    """The note of a log; None where there is none that can be read."""
    file = note_path(path)
    text = file.read_bytes() if file.exists() else b""
    slots = [text[i : i + _SLOT.size] for i in range(0, len(text) - _SLOT.size + 1, _SLOT.size)]
    whole = [_SLOT.unpack(slot) for slot in slots if _sum(slot[:-4]) == slot[-4:] and slot[:4] == _MAGIC]
    if not whole:
        return None
    boot = boot_id()
    return Noted(
        serial=max(fields[2] for fields in whole),
        same_boot=any(boot) and all(fields[3] == boot for fields in whole),
        normal=any(fields[1] & _NORMAL for fields in whole),
        clean=all(fields[1] & _CLEAN for fields in whole),
    )


def reset_note(path: pathlib.Path, serial: int, *, normal: bool, clean: bool) -> None:
    """Begin the note anew, durably. Only who has the log alone may do this."""
    file = note_path(path)
    fresh = file.with_name(f"{file.name}.new")
    with fresh.open("wb") as out:
        out.write(_slot(serial, (_NORMAL if normal else 0) | (_CLEAN if clean else 0)))
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)


def _slot(serial: int, flags: int) -> bytes:
    text = _SLOT.pack(_MAGIC, flags, serial, boot_id(), 0, 0)[:-4]
    return text + _sum(text)


def _sum(text: bytes) -> bytes:
    return int(google_crc32c.value(text)).to_bytes(4, "little")


class NoteSlot:
    """One process's slot, made at its first write. Thread-safe."""

    def __init__(self, path: pathlib.Path, *, normal: bool) -> None:
        self._path, self._flags = note_path(path), _NORMAL if normal else 0
        self._lock = threading.Lock()
        self._fd = self._at = -1
        self._serial = 0

    def reserve(self) -> None:
        """Take the space for the slot, before anything is written that it shall note."""
        with self._lock:
            if self._fd < 0:
                fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
                try:
                    os.write(fd, _slot(0, self._flags))
                    self._at = os.lseek(fd, 0, os.SEEK_CUR) - _SLOT.size
                finally:
                    os.close(fd)
                self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)

    def acknowledge(self, serial: int) -> None:
        """Note that this write is durable. Call it after the commit and before anybody is told."""
        with self._lock:
            if serial > self._serial:
                os.pwrite(self._fd, _slot(serial, self._flags), self._at)
                self._serial = serial

    def close(self) -> None:
        """Give the file back; the slot stays."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
