"""`Meta`: what Redis holds of a partition besides the identities themselves, in one hash.

    token     who owns it: random, new with every taking-over
    version   raised by every write
    offset    everything below is settled here
    reach     nothing at or above is held here; above `offset` while a settle of several steps is under way
    stamp     newest append time settled, µs
    run       part of the names of the slots' keys: new with every clearing, so that nothing old is ever read
    shape     what the connector declares of the ids, as `contiguous/exchange`; marks mean something else under another
    s:STREAM  number of a stream
    m:NUMBER  its mark
    t:SLOT:NUMBER  its largest mark key in a slot, which becomes the mark when the slot goes
    k:SLOT:KIND    there is a key of that slot: `m` and `m2` members, `p` pages

One key on purpose: if Redis drops it, all of the partition is seen to be gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from k2core.plugin import Stream

FORMAT = "2"


@dataclass(kw_only=True)
class Meta:
    """One partition's; see the module for the fields."""

    token: str = ""
    version: int = 0
    offset: int = 0
    reach: int = 0
    stamp_us: int = 0
    run: str = ""
    shape: str = ""
    streams: dict[Stream, int] = field(default_factory=dict)
    marks: dict[Stream, int] = field(default_factory=dict)
    tops: dict[int, dict[Stream, int]] = field(default_factory=dict)
    keys: set[tuple[int, str]] = field(default_factory=set)

    def highest(self) -> dict[Stream, int]:
        """Per stream the largest mark key that is known."""
        found = dict(self.marks)
        for slot in self.tops.values():
            raise_to(found, slot)
        return found

    def number(self, stream: Stream) -> tuple[int, list[str]]:
        """A stream's number, and the fields to write where it is new."""
        if stream in self.streams:
            return self.streams[stream], []
        number = self.streams[stream] = len(self.streams)
        return number, [f"s:{_name(stream)}", str(number)]

    def slots_before(self, slot: int) -> list[int]:
        """Slots below a number of which something is held."""
        return sorted({s for s in (*self.tops, *(s for s, _ in self.keys)) if s < slot})

    def head(self) -> list[str]:
        """Fields that every write replaces."""
        return [
            "version", str(self.version), "offset", str(self.offset), "reach", str(self.reach),
            "stamp", str(self.stamp_us), "shape", self.shape,
        ]  # fmt: skip


def raise_to(marks: dict[Stream, int], other: Mapping[Stream, int]) -> None:
    """Raise marks in place to others."""
    for stream, mark in other.items():
        marks[stream] = max(mark, marks.get(stream, -1))


def read_meta(fields: dict[bytes, bytes]) -> Meta | None:
    """What Redis holds; None where it is nothing that can be used."""
    if fields.get(b"format") != FORMAT.encode():
        return None
    texts = {name.decode(): value.decode() for name, value in fields.items()}
    try:
        return _read(texts)
    except (KeyError, ValueError):  # not written by these scripts: as good as nothing
        return None


def _read(texts: dict[str, str]) -> Meta:
    meta = Meta(
        token=texts["token"], version=int(texts["version"]), offset=int(texts["offset"]), reach=int(texts["reach"]),
        stamp_us=int(texts["stamp"]), run=texts["run"], shape=texts["shape"],
    )  # fmt: skip
    for name, value in texts.items():
        if name.startswith("s:"):
            exchange, symbol, epoch = json.loads(name[2:])
            meta.streams[Stream(exchange, symbol, epoch)] = int(value)
    by_number = {number: stream for stream, number in meta.streams.items()}
    for name, value in texts.items():
        match name.split(":"):
            case ["m", number]:
                meta.marks[by_number[int(number)]] = int(value)
            case ["t", slot, number]:
                meta.tops.setdefault(int(slot), {})[by_number[int(number)]] = int(value)
            case ["k", slot, kind]:
                meta.keys.add((int(slot), kind))
    return meta


def _name(stream: Stream) -> str:
    return json.dumps([stream.exchange, stream.symbol, stream.id_epoch])
