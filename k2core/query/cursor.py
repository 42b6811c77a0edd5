"""`Cursor`: where an answer stopped, opaque to its bearer, good on every server of one installation.

It carries the pin (the log ends H), the selection and the last key, never a count, and a keyed hash: a forged or
altered one is refused. The key lies in the run folder and is made once, by whichever server comes first. Of the words
of the question it keeps a digest, and the whole is compressed: a question of a hundred long names has a cursor that
still fits into a URL.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import pathlib
import secrets
import zlib
from typing import Any

import msgspec

from k2core.errors import QueryError
from k2core.interfaces.broker import Partition
from k2core.interfaces.query import Key

_TAG = 16


class Cursor(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a page needs to know to go on.

    Args:
        data_type: Of which type the rows are.
        ends: The pin H: per topic, (partition, next offset).
        last: Key of the last row that was answered.
        symbols: As asked; None for all.
        exchanges: As asked; None for all.
        start_ms: As resolved by the first page.
        end_ms: As resolved by the first page.
        as_of_us: As resolved by the first page.
        descending: Direction.
        reproducible: Whether the first page's time was closed.
        columns: As asked; None for all.
        asked: `digest` of the caller's own words, so that a cursor is not taken to another question.
    """

    data_type: str
    ends: dict[str, list[tuple[int, int]]]
    last: Key
    symbols: tuple[str, ...] | None = None
    exchanges: tuple[str, ...] | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    as_of_us: int | None = None
    descending: bool = True
    reproducible: bool = True
    columns: tuple[str, ...] | None = None
    asked: str = ""

    @property
    def pin(self) -> dict[Partition, int]:
        """H as offsets."""
        return {(topic, p): offset for topic, places in self.ends.items() for p, offset in places}


class Cursors:
    """Seals and opens cursors with one installation's key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, cursor: Cursor) -> str:
        """A cursor as text."""
        body = zlib.compress(msgspec.msgpack.encode(cursor))
        return base64.urlsafe_b64encode(self._tag(body) + body).rstrip(b"=").decode()

    def open(self, text: str, data_type: str) -> Cursor:
        """A cursor that `seal` made.

        Raises:
            QueryError: `invalid-cursor`: it is of another installation, altered, or of another data type.
        """
        try:
            raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        except (ValueError, binascii.Error, UnicodeEncodeError):
            raise _refused("it is not one that k2 made") from None
        tag, body = raw[:_TAG], raw[_TAG:]
        if not hmac.compare_digest(tag, self._tag(body)):
            raise _refused("it was altered, or made by another installation")
        try:
            cursor = msgspec.msgpack.decode(zlib.decompress(body), type=Cursor)
        except (zlib.error, msgspec.MsgspecError):
            raise _refused("another version of k2 made it") from None
        if cursor.data_type != data_type:
            raise _refused(f"it belongs to {cursor.data_type}, not to {data_type}")
        return cursor

    def _tag(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()[:_TAG]


def digest(words: str) -> str:
    """A question's words, short: equal if and only if they are."""
    return hashlib.blake2b(words.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest() if words else ""


def ends_of(pin: Any) -> dict[str, list[tuple[int, int]]]:
    """Offsets in the shape that a cursor and an answer carry them."""
    ends: dict[str, list[tuple[int, int]]] = {}
    for (topic, partition), offset in sorted(pin.items()):
        ends.setdefault(topic, []).append((partition, offset))
    return ends


def installation_key(folder: pathlib.Path) -> bytes:
    """The key in `cursor.key` of the run folder; made, readable by its owner alone, where there is none."""
    path = folder / "cursor.key"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        fresh = folder / f"cursor.key.{os.getpid()}.{secrets.token_hex(4)}"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as out:
            out.write(secrets.token_bytes(32))
        try:
            os.link(fresh, path)  # whole or not at all; the first server's key counts
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_bytes()


def _refused(why: str) -> QueryError:
    return QueryError(
        f"this cursor cannot be used: {why}. Ask again without `cursor` to start at the first page.",
        kind="invalid-cursor",
    )
