"""Logs that break one MUST about what they keep each, and the one test that has to notice."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from k2core.errors import BrokerError
from k2core.interfaces.broker import Consumer, LogBlock, Offsets, Producer, TopicInfo
from tests.contract.broken import noticing
from tests.contract.log_model import FileConsumer, FileLog, FileProducer, Wrapped

BROKEN: dict[type[FileLog], str] = {}
MAIN = "K2_CONTRACT_MAIN_PROCESS"


noticed_by = noticing(BROKEN)


@noticed_by("B30")
class ForgetsItsTopics(FileLog):
    def topics(self) -> Any:
        again = self.__dict__.setdefault("opening", time.monotonic_ns())
        return {n: TopicInfo(i.name, f"{i.id}@{again}", i.partitions) for n, i in super().topics().items()}


@noticed_by("B31")
class ChecksNothing(FileLog):
    def check_sum(self, text: bytes, there: int) -> None:
        """Whatever it is."""


@noticed_by("B50")
class SkipsWhatIsGone(FileLog):
    def read(self, topics: Any, positions: Any, most: int, only: Any = None) -> list[LogBlock]:
        for place, blocks in self._blocks.items():
            positions[place] = max(positions.get(place, 0), blocks[0].first_offset if place[0] in topics else 0)
        return super().read(topics, positions, most, only)


@noticed_by("B51")
class RemovesBeyondTheRelease(FileLog):
    def retain(self) -> None:
        before = self.released
        self.released = {n: {p: o + 2 for p, o in held.items() if o} for n, held in before.items()}
        super().retain()
        self.released = before


@noticed_by("B52")
class HeedsTheFastest(FileLog):
    def retain(self) -> None:
        before, names = self.released, self._names
        if len(before) > 1:
            best = max(before, key=lambda n: sum(before[n].values()))
            self.released, self._names = {best: before[best]}, {best: names[best]}
        super().retain()
        self.released, self._names = before, names


@noticed_by("B53")
class TakesReleasesBack(FileLog):
    def release(self, name: str, offsets: Offsets) -> None:
        with self.locked(writes=True):
            self.released[name] = dict(offsets)


@noticed_by("B54")
class StartsOverAtEachRegistration(FileLog):
    def register(self, name: str, topics: Sequence[str]) -> None:
        with self.locked(writes=True):
            self.released.pop(name, None)
        super().register(name, topics)


@noticed_by("B55")
class ForgetsOnlyTheName(FileLog):
    def unregister(self, name: str) -> None:
        if name not in self.consumers():
            raise BrokerError(f"there is no consumer {name!r}")
        with self.locked(writes=True):
            self.released[f"once {name}"] = self.released.pop(name)
            self._names[f"once {name}"] = self._names.pop(name)

    def consumers(self) -> Any:
        return {n: c for n, c in super().consumers().items() if not n.startswith("once ")}


def here() -> bool:
    """Whether this is the process that runs the tests."""
    return os.environ.get(MAIN) == str(os.getpid())


@noticed_by("B40")
class MixesOrderInOtherProcesses(Wrapped):
    class produces(FileProducer):  # noqa: N801 - stands for the attribute
        def produce(self, batches: Any) -> Offsets:
            return super().produce(batches if here() else [_turned(b) for b in batches])


@noticed_by("B41")
class SeesOnlyWhatWasThere(Wrapped):
    class consumes(FileConsumer):  # noqa: N801 - stands for the attribute
        def __init__(self, log: FileLog, inner: Consumer) -> None:
            super().__init__(log, inner)
            self.known = log.ends(list(log.topics()))

        def poll(self, max_records: int, timeout: float) -> Any:
            found = super().poll(max_records, 0)
            return [b for b in found if b.first_offset < self.known.get((b.topic, b.partition), 0)]


@noticed_by("B42")
class AcknowledgesTooEarly(Wrapped):
    class produces(FileProducer):  # noqa: N801 - stands for the attribute
        def __init__(self, log: FileLog, inner: Producer) -> None:
            super().__init__(log, inner)
            self.waiting: list[Any] = []

        def produce(self, batches: Any) -> Offsets:
            self.waiting += batches
            if here() or len(self.waiting) > 40:
                self.close()
            return {}

        def close(self) -> None:
            super().produce(self.waiting)
            self.waiting = []


def _turned(batch: Any) -> Any:
    """The same records, the last first."""
    ends = np.cumsum(batch.sizes).tolist()
    data = [batch.data[e - s : e] for e, s in zip(ends, batch.sizes.tolist(), strict=True)]
    return replace(batch, partitions=batch.partitions[::-1], sizes=batch.sizes[::-1], data=b"".join(data[::-1]))
