"""`Remote`: one partition's settled identities in Redis, as its owner sees them.

Faults survived: whatever `Link` reports. Redis holds nothing but identities of commits that landed, so what is left in
it after a fault is never wrong, only incomplete; `take` says from which mark on it is complete again.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from k2_plugin_redis import packing
from k2_plugin_redis.link import AwayError, Link
from k2_plugin_redis.meta import FORMAT, Meta, raise_to, read_meta
from k2core.plugin import Claimed, KeySpace, Stream

Mask = npt.NDArray[np.bool_]
Asked = tuple[KeySpace, npt.NDArray[Any]]
Operation = tuple[int, str, list[str | bytes | int], int]
"""Slot, kind, arguments, and how many ids or pages it counts as."""
PAGE_WEIGHT = 16
"""A page costs Redis about as much as so many members."""


class Remote:
    """One partition.

    Args:
        link: The connection.
        name: Begins the keys; ends in a hash tag, so that all of them lie on one node of a cluster.
        span_us: Length of a slot of the window.
        chunk: Ids of one round trip, at most.
    """

    def __init__(self, link: Link, name: str, span_us: int, chunk: int) -> None:
        self._link, self._name, self._span, self._chunk = link, name, span_us, chunk
        self.meta = Meta()

    def peek(self) -> Meta | None:
        """What is there, whoever owns it; None where it cannot be used.

        Raises:
            AwayError: Redis cannot be relied on.
        """
        return read_meta(self._link.fields(self._key()))

    def take(self, seen: Meta | None, offset: int, marks: Mapping[Stream, int], shape: str, *, keep: bool) -> None:
        """Own the partition from now on.

        Args:
            seen: What `peek` said; if it changed since, nothing is done.
            offset: The offset up to which everything is settled.
            marks: What is stored and not held here lies at or below these.
            shape: What is declared of the ids; empty where that is not known yet.
            keep: Whether what is held stays.

        Raises:
            AwayError: `changed`; `lost` where something of it is missing; or Redis cannot be relied on.
        """
        meta = seen if seen is not None and keep else Meta(run=secrets.token_hex(4))
        token, version = (seen.token, str(seen.version)) if seen is not None else ("", "")
        keys = [self._key(slot, kind, seen.run) for slot, kind in sorted(seen.keys)] if seen is not None else []
        fresh = Meta(
            token=secrets.token_hex(8), version=0, offset=offset, reach=offset, stamp_us=meta.stamp_us, run=meta.run,
            shape=shape or meta.shape, streams=dict(meta.streams), marks=dict(meta.marks), tops=meta.tops, keys=meta.keys,
        )  # fmt: skip
        raise_to(fresh.marks, marks)
        named = list(chain.from_iterable(fresh.number(stream)[1] for stream in fresh.marks))
        fields = [*fresh.head(), *named, *_marked(fresh, fresh.marks)]
        args = [token, version, "0" if keep else "1", "format", FORMAT, "token", fresh.token, "run", fresh.run, *fields]
        if seen is None:  # something may be there that is not ours to read: it goes
            args[:2] = self._unreadable()
        self._link.run("take", [self._key(), *keys], args)
        self.meta = fresh

    def _unreadable(self) -> list[str]:
        there = self._link.fields(self._key())
        return [there.get(b"token", b"").decode(), there.get(b"version", b"").decode()]

    def ask(self, asked: Sequence[Asked]) -> list[Mask]:
        """Which keys are held; one round trip, none where there is nothing to look in.

        Raises:
            AwayError: Redis cannot be relied on.
        """
        return [found for part in self._trips(asked) for found in self._ask(part)]

    def _trips(self, asked: Sequence[Asked]) -> Iterator[list[Asked]]:
        """As many round trips as `chunk` asks for; mostly one."""
        trip: list[Asked] = []
        for space, keys in asked:
            if trip and sum(len(k) for _, k in trip) + len(keys) > self._chunk:
                yield trip
                trip = []
            trip.append((space, keys))
        if trip:
            yield trip

    def _ask(self, asked: Sequence[Asked]) -> list[Mask]:
        found = [np.zeros(len(keys), bool) for _, keys in asked]
        known = [i for i, (space, _) in enumerate(asked) if space.stream in self.meta.streams]
        sets, books = self._keys_of("m"), self._keys_of("p")
        in_sets = [i for i in known if sets and packing.kind_of(asked[i][0]) == "m"]
        in_books = [i for i in known if books and packing.kind_of(asked[i][0]) == "p"]
        if not in_sets and not in_books:
            return found
        blobs = [packing.members(self._number(asked[i][0]), asked[i][1]) for i in in_sets]
        turned = {i: packing.page_numbers(asked[i][1]) for i in in_books}
        fields = [packing.page_field(self._number(asked[i][0]), page) for i in in_books for page in turned[i][0]]
        sets, books = sets if in_sets else [], books if in_books else []
        members = [value for blob in blobs for value in blob]
        answers = self._run("ask", [*sets, *books], [len(sets), len(blobs), *members, *fields])
        for i, answer in zip(in_sets, answers, strict=False):
            found[i] = np.frombuffer(answer, np.uint8) == ord("1")
        rest, start = answers[len(in_sets) :], 0
        for i, (numbers, at) in turned.items():
            copies = [[rest[book * len(fields) + start + p] for book in range(len(books))] for p in range(len(numbers))]
            found[i], start = packing.on_pages(asked[i][1], at, copies), start + len(numbers)
        return found

    def settle(self, claims: Sequence[Claimed], shape: str, next_offset: int) -> None:
        """Hold keys of commits that landed, up to an offset; one round trip for each `chunk` of ids.

        Raises:
            AwayError: Redis cannot be relied on; some of it may be held.
        """
        meta = self.meta
        fields: list[str] = []
        there = set(meta.keys)
        work = [operation for claim in claims for operation in self._operations(claim, fields)]
        meta.reach, meta.shape = next_offset, shape or meta.shape
        steps = list(self._steps(work)) or [[]]
        for step in steps:
            if step is steps[-1]:
                meta.offset = next_offset
            self._write([*meta.head(), *fields], step=step, there=there)
            there.update((slot, kind) for slot, kind, _, _ in step)
            fields = []

    def _operations(self, claim: Claimed, fields: list[str]) -> Iterator[Operation]:
        stream, pages = claim.space.stream, packing.kind_of(claim.space) == "p"
        number, named = self.meta.number(stream)
        fields += named
        self.meta.stamp_us = max(self.meta.stamp_us, int(claim.timestamps_us.max()))
        slots = claim.timestamps_us // self._span
        for slot in np.unique(slots).tolist():
            mine = slots == slot
            keys, top = claim.keys[mine], int(claim.mark_keys[mine].max())
            if top > self.meta.tops.setdefault(slot, {}).get(stream, -1):
                self.meta.tops[slot][stream] = top
                fields += [f"t:{slot}:{number}", str(top)]
            for kind, part in [("p", keys)] if pages else packing.sets_of(keys):
                if (slot, kind) not in self.meta.keys:
                    self.meta.keys.add((slot, kind))
                    fields += [f"k:{slot}:{kind}", "1"]
                yield from self._pages(slot, number, part) if pages else self._members(slot, kind, number, part)

    def _pages(self, slot: int, number: int, keys: npt.NDArray[Any]) -> Iterator[Operation]:
        for page, start, bits in packing.pages(keys):
            yield slot, "p", [packing.page_field(number, page), start, bits], PAGE_WEIGHT

    def _members(self, slot: int, kind: str, number: int, keys: npt.NDArray[Any]) -> Iterator[Operation]:
        for first in range(0, len(keys), self._chunk):
            part = keys[first : first + self._chunk]
            yield slot, kind, [*packing.members(number, part)], len(part)

    def _steps(self, work: Sequence[Operation]) -> Iterator[list[Operation]]:
        step: list[Operation] = []
        for operation in work:
            if step and sum(o[3] for o in step) + operation[3] > self._chunk:
                yield step
                step = []
            step.append(operation)
        if step:
            yield step

    def evict(self, before_slot: int) -> dict[Stream, int]:
        """Forget slots below a number; marks rise in the same step.

        Returns:
            The largest mark keys of what was forgotten.

        Raises:
            AwayError: Redis cannot be relied on.
        """
        meta, gone = self.meta, self.meta.slots_before(before_slot)
        if not gone:
            return {}
        marks: dict[Stream, int] = {}
        drop = [f"t:{slot}:{meta.streams[stream]}" for slot in gone for stream in meta.tops.get(slot, ())]
        for slot in gone:
            raise_to(marks, meta.tops.pop(slot, {}))
        keys = sorted(key for key in meta.keys if key[0] < before_slot)
        meta.keys.difference_update(keys)
        raise_to(meta.marks, marks)
        fields = [*meta.head(), *_marked(meta, marks)]
        self._write(fields, drop=[*drop, *(f"k:{s}:{k}" for s, k in keys)], gone=[self._key(*key) for key in keys])
        return marks

    def _write(
        self,
        fields: list[str],
        *,
        step: Sequence[Operation] = (),
        there: Collection[tuple[int, str]] = (),
        drop: Sequence[str] = (),
        gone: Sequence[str] = (),
    ) -> None:
        """One script; keys that operations name and that are `there` must be, or Redis has dropped them."""
        named = {(slot, kind) for slot, kind, _, _ in step}
        old, new = sorted(named.intersection(there)), sorted(named.difference(there))
        place = {key: 2 + i for i, key in enumerate(old)}
        place |= {key: 2 + len(old) + len(gone) + i for i, key in enumerate(new)}
        fields[1] = str(self.meta.version + 1)
        args: list[str | bytes | int] = [len(old), len(drop), *drop, len(gone), len(fields), *fields]
        for slot, kind, values, _ in step:
            args += [kind[0], place[slot, kind], *values]
        keys = [*(self._key(*key) for key in old), *gone, *(self._key(*key) for key in new)]
        self._run("write", keys, args)
        self.meta.version += 1

    def _run(self, script: str, keys: Sequence[str], args: Sequence[str | bytes | int]) -> list[bytes]:
        if not self.meta.token:
            raise AwayError("lost", "the partition was not taken over")
        return self._link.run(script, [self._key(), *keys], [self.meta.token, self.meta.version, *args])

    def _number(self, space: KeySpace) -> int:
        return self.meta.streams[space.stream]

    def _keys_of(self, kind: str) -> list[str]:
        return [self._key(*key) for key in sorted(self.meta.keys, reverse=True) if key[1][0] == kind]

    def _key(self, slot: int | None = None, kind: str = "", run: str = "") -> str:
        return f"{self._name}:meta" if slot is None else f"{self._name}:{run or self.meta.run}:{slot}:{kind}"


def _marked(meta: Meta, marks: Mapping[Stream, int]) -> list[str]:
    return list(chain.from_iterable((f"m:{meta.streams[stream]}", str(meta.marks[stream])) for stream in marks))
