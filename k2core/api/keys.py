"""API keys: made from 256 random bits, shown once, kept as SHA-256 (random keys need no slow hash), compared in
constant time.

The keys file is replaced whole (a fresh file, synced, renamed) and readable by its owner alone.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import pathlib
import secrets
from collections.abc import Iterable

import msgspec

from k2core.clock import Clock
from k2core.errors import ConfigError


class StoredKey(msgspec.Struct, frozen=True):
    """A key as it is kept: its name, hash and when it was made (Unix ms)."""

    name: str
    sha256: str
    created_ms: int


class KeysFile:
    """The keys of one installation.

    Args:
        path: The file; it need not exist.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path

    def read(self) -> list[StoredKey]:
        """Every key.

        Raises:
            ConfigError: The file is not what k2 wrote.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[StoredKey])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError) as error:
            raise ConfigError(
                f"{self._path}: the keys cannot be read ({error}); remove the file to start anew"
            ) from None

    def stamp(self) -> tuple[int, int]:
        """Changes whenever the file does."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_mtime_ns, found.st_ino

    def make(self, name: str, clock: Clock) -> str:
        """Make a key, keep its hash, and return it: nobody can show it again. A key of that name is replaced."""
        key = f"k2_{secrets.token_urlsafe(32)}"
        others = [k for k in self.read() if k.name != name]
        self._write([*others, StoredKey(name, _hash(key), clock.now_ms())])
        return key

    def remove(self, name: str) -> bool:
        """Forget a key; False where there is none of that name."""
        keys = self.read()
        others = [k for k in keys if k.name != name]
        if len(others) < len(keys):
            self._write(others)
        return len(others) < len(keys)

    def _write(self, keys: list[StoredKey]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as out:
            out.write(msgspec.json.format(msgspec.json.encode(keys)))
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(self._path)


class Auth:
    """Says whether a key is one of ours.

    Args:
        keys: Plain keys (from settings or `K2_API_KEY`).
        stored: Where hashed ones are kept; read again when it changes.
        required: Whether requests need a key at all.
    """

    def __init__(self, keys: Iterable[str] = (), stored: KeysFile | None = None, *, required: bool = True) -> None:
        self.required = required
        self._given = [_hash(k) for k in keys if k]
        self._stored, self._stamp = stored, (-1, -1)
        self._kept: list[str] = []

    def accepts(self, key: str | None) -> bool:
        """Whether a key is right; compared with every key there is, each in constant time."""
        if not self.required:
            return True
        if not key:
            return False
        mine = _hash(key)
        matches = [hmac.compare_digest(mine, known) for known in (*self._given, *self._hashes())]
        return any(matches)

    def _hashes(self) -> list[str]:
        if self._stored is None:
            return []
        stamp = self._stored.stamp()
        if stamp != self._stamp:
            self._kept, self._stamp = [k.sha256 for k in self._stored.read()], stamp
        return self._kept


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
