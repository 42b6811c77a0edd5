"""Logs that break one MUST each, and the one test that has to notice."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from k2core.interfaces.broker import Consumer, LogBlock, Offsets
from tests.contract.broken import noticing
from tests.contract.log_model import FileConsumer, FileLog, FileProducer, Wrapped

BROKEN: dict[type[FileLog], str] = {}


noticed_by = noticing(BROKEN)


@noticed_by("B01")
class MakesTopicsAnew(FileLog):
    def ensure_topics(self, specs: Any) -> None:
        known = dict(self._topics)
        super().ensure_topics(specs)
        with self.locked(writes=True):
            for spec in specs:
                if spec.name in known and len(specs) > 1:
                    self.recreate(spec.name, known[spec.name].id + "'")


@noticed_by("B02")
class CallsTopicsByName(FileLog):
    def topics(self) -> Any:
        return {name: replace(info, id=str(len(info.name)) + name[:17]) for name, info in super().topics().items()}


@noticed_by("B03")
class MakesTopicsOneByOne(FileLog):
    def ensure_topics(self, specs: Any) -> None:
        for spec in specs:
            super().ensure_topics([spec])


@noticed_by("B04")
class TakesAnyLineage(FileLog):
    def ensure_topics(self, specs: Any) -> None:
        self._schemas.clear()
        with self.locked(writes=True):
            for spec in specs:
                self._schemas.pop(spec.name, None)
        super().ensure_topics(specs)


@noticed_by("B05")
class TellsAllEnds(Wrapped):
    class produces(FileProducer):  # noqa: N801 - stands for the attribute
        def produce(self, batches: Any) -> Offsets:
            super().produce(batches)
            return self.log.ends([b.topic for b in batches])


@noticed_by("B06")
class DropsEmptyRecords(Wrapped):
    class produces(FileProducer):  # noqa: N801 - stands for the attribute
        def produce(self, batches: Any) -> Offsets:
            return super().produce([replace(b, partitions=b.partitions[b.sizes > 0], sizes=b.sizes[b.sizes > 0]) for b in batches])  # fmt: skip


@noticed_by("B06")
class LosesVersions(FileLog):
    def append(self, partition: Any, version: int, sizes: Any, data: bytes) -> LogBlock:
        return super().append(partition, 1, sizes, data)


@noticed_by("B07")
class MixesOrder(Wrapped):
    class produces(FileProducer):  # noqa: N801 - stands for the attribute
        def produce(self, batches: Any) -> Offsets:
            return super().produce(batches[::-1])


@noticed_by("B08")
class LeavesOffsetsOut(FileLog):
    def append(self, partition: Any, version: int, sizes: Any, data: bytes) -> LogBlock:
        block = super().append(partition, version, sizes, data)
        there = self._blocks[partition]
        if len(there) == 4:
            block = there[-1] = replace(block, first_offset=block.first_offset + 1)
        return block


@noticed_by("B09")
class IgnoresTheLimit(Wrapped):
    class consumes(FileConsumer):  # noqa: N801 - stands for the attribute
        def poll(self, max_records: int, timeout: float) -> Any:
            return super().poll(1 << 30, timeout)


@noticed_by("B10")
class SeeksOffByOne(Wrapped):
    def read(self, topics: Any, positions: Any, most: int, only: Any = None) -> list[LogBlock]:
        for place, at in positions.items():
            if any(b.first_offset < at < b.next_offset for b in self._blocks.get(place, [])):
                positions[place] = at + 1
        return super().read(topics, positions, most, only)


@noticed_by("B11")
class WaitsForTheImpossible(FileLog):
    def read(self, topics: Any, positions: Any, most: int, only: Any = None) -> list[LogBlock]:
        ends = {p: b[-1].next_offset for p, b in self._blocks.items()}
        return (
            super().read(topics, positions, most, only)
            if all(at <= ends.get(p, at) for p, at in positions.items())
            else []
        )


@noticed_by("B12")
class StandsAtTheLastBlock(Wrapped):
    class consumes(FileConsumer):  # noqa: N801 - stands for the attribute
        last: dict[Any, int] = {}  # noqa: RUF012 - replaced at the first poll

        def poll(self, max_records: int, timeout: float) -> Any:
            found = super().poll(max_records, timeout)
            self.last = {(b.topic, b.partition): b.first_offset for b in found}
            return found

        def positions(self) -> Offsets:
            return {**super().positions(), **self.last}


@noticed_by("B13")
class SharesPositions(FileLog):
    def consumer(self, topics: Sequence[str]) -> Consumer:
        made: Any = super().consumer(topics)
        shared: dict[Any, int] = self.__dict__.setdefault("shared", {})
        made.inner._at = shared
        made.close = shared.clear
        return made


@noticed_by("B13")
class ReadsEveryTopic(FileLog):
    def consumer(self, topics: Sequence[str]) -> Consumer:
        made: Any = super().consumer(topics)
        made.inner._topics = frozenset(self._topics)
        return made


@noticed_by("B14")
class AppendsPiecemeal(Wrapped):
    class produces(FileProducer):  # noqa: N801 - stands for the attribute
        def produce(self, batches: Any) -> Offsets:
            ends: dict[Any, int] = {}
            for batch in batches:
                ends |= super().produce([batch])
            return ends


@noticed_by("B15")
class KnowsEveryTopic(FileLog):
    def consumer(self, topics: Sequence[str]) -> Consumer:
        return super().consumer([t for t in topics if t in self._topics])


@noticed_by("B16")
class StampsWhatTheClockSays(FileLog):
    def append(self, partition: Any, version: int, sizes: Any, data: bytes) -> LogBlock:
        block = super().append(partition, version, sizes, data)
        there = self._blocks[partition]
        there[-1] = replace(block, timestamp_us=max(self._promised_us + 1, self._clock.now_us()))
        return there[-1]


@noticed_by("B17")
class BreaksItsPromise(FileLog):
    def closed_until(self, topics: Sequence[str]) -> int:
        return self._clock.now_us()


@noticed_by("B18")
class SleepsThroughAppends(Wrapped):
    class consumes(FileConsumer):  # noqa: N801 - stands for the attribute
        def poll(self, max_records: int, timeout: float) -> Any:
            if not (found := super().poll(max_records, 0)):
                time.sleep(timeout)
                found = super().poll(max_records, 0)
            return found


@noticed_by("B18")
class NeverWaits(Wrapped):
    class consumes(FileConsumer):  # noqa: N801 - stands for the attribute
        def poll(self, max_records: int, timeout: float) -> Any:
            return super().poll(max_records, 0)


@noticed_by("B19")
class LosesWhatThreadsAppend(Wrapped):
    class produces(FileProducer):  # noqa: N801 - stands for the attribute
        calls = 0

        def produce(self, batches: Any) -> Offsets:
            type(self).calls += 1
            mine = threading.current_thread() is threading.main_thread() or self.calls % 7
            return super().produce(batches) if mine else {}
