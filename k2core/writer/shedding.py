"""`Shedding`: a pipeline's degradation: looks at lag and memory, says what may be read, and cuts out what is shed.

What is shed is cut out between admission and claim: dead letters are dead letters under any load, and no identity of a
shed record is ever claimed. Every range that is read while a level sheds is named, also one without records, so that
neighbours under one rule become one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from k2core.admission.admit import Admitted, Part
from k2core.broker.spans import lag_of
from k2core.degradation.controller import Controller
from k2core.degradation.levels import Change, Level, Permit
from k2core.degradation.settings import DegradationSettings
from k2core.degradation.tiers import SymbolKey, Tiers
from k2core.interfaces.broker import Broker, LogBlock, Offsets, Partition
from k2core.interfaces.shed import Shed, counted
from k2core.records.topics import Topic

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradation:
    """What a pipeline degrades by.

    Args:
        settings: Triggers, times and tiers.
        memory: Share of the memory limit that is used.
        relieve: Gives memory back where that is possible.
        tell: Told of each change, and now and then of a level that lasts (then without one): level, cause.
    """

    settings: DegradationSettings
    memory: Callable[[], float] = lambda: 0.0
    relieve: Callable[[], None] = lambda: None
    tell: Callable[[Controller, Change | None], None] = lambda controller, change: None


class Shedding:
    """Belongs to one intake.

    Args:
        by: What it degrades by; None: never.
        broker: The log, for its ends.
        topics: What is read.
    """

    def __init__(self, by: Degradation | None, broker: Broker, topics: Sequence[str]) -> None:
        self._by = by if by is not None and by.settings.enabled else None
        self._broker, self._topics = broker, topics
        settings = DegradationSettings.model_validate({}) if by is None else by.settings
        self._controller, self._tiers = Controller(settings), Tiers(settings)
        self._looked = self._told = float("-inf")
        self._look_s, self._announce_s = settings.look_s, settings.announce_s

    @property
    def level(self) -> Level:
        """The level."""
        return self._controller.level

    def permit(self, now: float) -> Permit:
        """What may be read now."""
        return self._controller.permit(now) if self._by is not None else Permit()

    def stalled(self) -> None:
        """Reading stops for another reason than load."""
        self._controller.stalled()

    def look(self, now: float, read: Offsets) -> None:
        """Look at lag and memory, if it is time to.

        Args:
            now: `Clock.monotonic()`.
            read: Next offset to read of every owned partition.

        Raises:
            BrokerError: The log does not tell its ends.
        """
        if self._by is None or now - self._looked < self._look_s:
            return
        self._looked = now
        ends = {place: end for place, end in self._broker.ends(self._topics).items() if place in read}
        change = self._controller.observe(now, sum(lag_of(ends, read).values()), self._by.memory())
        if change is not None:
            self._changed(change)
        elif not self.level or now - self._told < self._announce_s:
            return
        self._told = now
        self._by.tell(self._controller, change)

    def cut(
        self, admitted: Admitted, blocks: Sequence[LogBlock], level: Level, now: float
    ) -> tuple[Mask | None, list[Shed]]:
        """What of some records is kept.

        Args:
            admitted: What was read, without what was refused.
            blocks: The same as it was polled.
            level: Under which it was read.
            now: `Clock.monotonic()`.

        Returns:
            The mask of the rows that are kept (None: all), and what is shed.
        """
        if self._by is None:
            return None, []
        keys = [_keys(admitted, part) for part in admitted.parts]
        for names, counts, _ in keys:
            self._tiers.count(now, dict(zip(names, counts, strict=True)))
        if not level.sheds:
            return None, []
        keep, shed, times = np.ones(len(admitted.rows), bool), [], _times(blocks)
        for part, (names, counts, codes) in zip(admitted.parts, keys, strict=True):
            out = self._tiers.shed(level, names)
            mask = np.array([name in out for name in names], bool)
            if out:
                keep[part.start : part.stop] = ~mask[codes]
            gone = counted((name[1], count) for name, count in zip(names, counts, strict=True) if name in out)
            (topic, number), (first_us, last_us) = part.partition, times[part.partition]
            rule = self._tiers.rule(level)
            shed.append(
                Shed(topic, number, part.first_offset, part.next_offset, gone, level.name, rule, first_us, last_us)
            )
        return keep, shed

    def _changed(self, change: Change) -> None:
        if change.level.sheds:
            self._tiers.freeze()
        else:
            self._tiers.thaw()
        if change.cause == "memory" and self._by is not None:
            self._by.relieve()


def _keys(admitted: Admitted, part: Part) -> tuple[list[SymbolKey], list[int], npt.NDArray[np.int32]]:
    """The distinct exchanges and symbols of a part, how many records each has, and each row's index into them."""
    if part.identities is not None:
        streams, codes = part.identities.streams, part.identities.stream
        names = [(stream.exchange, stream.symbol) for stream in streams]
    else:
        column: Any = admitted.rows.column("symbol").slice(part.start, part.stop - part.start).combine_chunks()
        words = column if hasattr(column, "dictionary") else column.dictionary_encode()
        codes, exchange = words.indices.to_numpy(zero_copy_only=False), Topic.parse(part.partition[0]).exchange
        names = [(exchange, symbol) for symbol in words.dictionary.to_pylist()]
    return names, np.bincount(codes, minlength=len(names)).tolist(), codes


def _times(blocks: Sequence[LogBlock]) -> dict[Partition, tuple[int, int]]:
    """First and last append time by partition, Unix us."""
    found: dict[Partition, tuple[int, int]] = {}
    for block in blocks:
        first, last = found.get((block.topic, block.partition), (block.timestamp_us, block.timestamp_us))
        found[block.topic, block.partition] = min(first, block.timestamp_us), max(last, block.timestamp_us)
    return found
