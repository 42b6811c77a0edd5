"""Keys as Redis holds them: contiguous ids as bitmaps, a page of 4,096 ids at most 512 bytes; others as short members.

A member is an id's number after its stream's (12 bytes), or 14 bytes of its text's hash with the stream's number mixed
in: with 16, or with the number in front, a member would take 32 bytes of Redis's memory instead of 16.

Members of a slot lie in two sets. A set that grows doubles its table, and holds both tables until all has moved: 24 bytes
a member instead of 8 to 16. Of two sets that are as 1 to the root of 2 only one grows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from k2core.plugin import KeySpace

Keys = npt.NDArray[Any]
PAGE = 12
"""Ids of a page, as a power of two."""
_BITS = (1 << PAGE) - 1
_NUMBERS = np.dtype([("stream", ">u4"), ("key", ">i8")])
_HASH = 14
"""Bytes; 112 bits: two of a billion ids are the same with a chance of 1 : 10^16."""


_LARGER = 150
"""Of 256 keys, those that go to the larger set: to the smaller ones as the root of 2 to 1."""
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""An odd number whose multiples are spread evenly, whatever the distance of ids."""


def kind_of(space: KeySpace) -> str:
    """`p` for pages, `m` for members."""
    return "p" if space.form == "contiguous" else "m"


def sets_of(keys: Keys) -> Iterator[tuple[str, Keys]]:
    """Kind and keys of each of a slot's two sets of members, where there are any."""
    if keys.dtype.kind == "i":
        byte = (keys.view(np.uint64) * _SPREAD) >> np.uint64(56)
    else:
        byte = np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), -1)[:, 0]
    larger = byte < _LARGER
    for kind, mask in (("m", larger), ("m2", ~larger)):
        if mask.any():
            yield kind, keys[mask]


def members(number: int, keys: Keys) -> tuple[int, bytes]:
    """Width of a member, and all of them in a row."""
    if keys.dtype.kind == "i":
        packed = np.empty(len(keys), _NUMBERS)
        packed["stream"], packed["key"] = number, keys
        return packed.dtype.itemsize, packed.tobytes()
    hashes = np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), -1)[:, :_HASH].copy()
    hashes[:, -4:] ^= np.frombuffer(number.to_bytes(4, "big"), np.uint8)
    return _HASH, hashes.tobytes()


def page_field(number: int, page: int) -> bytes:
    """Name of a page."""
    return number.to_bytes(4, "big") + page.to_bytes(8, "big")


def pages(keys: Keys) -> Iterator[tuple[int, int, bytes]]:
    """Each page that keys touch: its number, the first byte touched, and the bits from there on."""
    ordered = np.sort(keys)
    for part in np.split(ordered, np.flatnonzero(np.diff(ordered >> PAGE)) + 1):
        bits = np.zeros(_BITS + 1, np.uint8)
        bits[part & _BITS] = 1
        first, last = int(part[0] & _BITS) >> 3, int(part[-1] & _BITS) >> 3
        yield int(part[0]) >> PAGE, first, np.packbits(bits[first * 8 : last * 8 + 8]).tobytes()


def page_numbers(keys: Keys) -> tuple[list[int], npt.NDArray[np.intp]]:
    """The distinct pages of keys, and for each key which one."""
    found, at = np.unique(keys >> PAGE, return_inverse=True)
    return found.tolist(), at


def on_pages(keys: Keys, at: npt.NDArray[np.intp], copies: list[list[bytes]]) -> npt.NDArray[np.bool_]:
    """Which keys are set on any copy of their page; a copy may be cut where only zeros follow."""
    held = np.zeros((len(copies), (_BITS + 1) // 8), np.uint8)
    for row, of_page in enumerate(copies):
        for copy in of_page:
            held[row, : len(copy)] |= np.frombuffer(copy, np.uint8)
    low = keys & _BITS
    return np.asarray(held[at, low >> 3] >> (7 - (low & 7)).astype(np.uint8) & 1, bool)
