"""`FileLog`: `MemoryLog` in a file under a lock, for several processes: slow, and right. Broken ones change one thing."""

from __future__ import annotations

import contextlib
import fcntl
import pickle
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from k2core.clock import Clock
from k2core.errors import LogCorruptError
from k2core.interfaces.broker import Consumer, EncodedBatch, LogBlock, Offsets, Partition, Producer, TopicSpec
from k2core.testing.memory_log import MemoryLog

STATE = ("_blocks", "_topics", "_schemas", "_names", "released", "_promised_us")


class FileLog(MemoryLog):
    """The whole log is read and written at every call, with a checksum, under the file's lock."""

    def __init__(self, place: Path, clock: Clock) -> None:
        super().__init__(clock, retention_s=3600, number=zlib.crc32(str(place).encode()), session_s=3)
        self.path = place / "log"

    @contextlib.contextmanager
    def locked(self, *, writes: bool = False) -> Iterator[None]:
        with self.changed, self.path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.load()
            yield
            if writes:
                self.save()

    def load(self) -> None:
        if self.path.exists():
            text = self.path.read_bytes()
            self.check_sum(text[4:], int.from_bytes(text[:4], "little"))
            for name, value in pickle.loads(text[4:]).items():
                setattr(self, name, value)

    def check_sum(self, text: bytes, there: int) -> None:
        if zlib.crc32(text) != there:
            raise LogCorruptError(f"{self.path} is damaged")

    def save(self) -> None:
        text = pickle.dumps({name: getattr(self, name) for name in STATE})
        new = self.path.with_suffix(".new")
        new.write_bytes(zlib.crc32(text).to_bytes(4, "little") + text)
        new.replace(self.path)

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        with self.locked(writes=True):
            super().ensure_topics(specs)

    def topics(self) -> Mapping[str, Any]:
        with self.locked():
            return super().topics()

    def register(self, name: str, topics: Sequence[str]) -> None:
        with self.locked(writes=True):
            super().register(name, topics)

    def release(self, name: str, offsets: Offsets) -> None:
        with self.locked(writes=True):
            super().release(name, offsets)

    def unregister(self, name: str) -> None:
        with self.locked(writes=True):
            super().unregister(name)

    def ends(self, topics: Sequence[str]) -> dict[Partition, int]:
        with self.locked():
            return super().ends(topics)

    def starts(self, topics: Sequence[str]) -> dict[Partition, int]:
        with self.locked():
            return super().starts(topics)

    def closed_until(self, topics: Sequence[str]) -> int:
        with self.locked(writes=True):
            return super().closed_until(topics)

    def producer(self) -> Producer:
        return FileProducer(self, super().producer())

    def consumer(self, topics: Sequence[str]) -> Consumer:
        with self.locked():
            return FileConsumer(self, super().consumer(topics))


class FileProducer(Producer):
    def __init__(self, log: FileLog, inner: Producer) -> None:
        self.log, self.inner = log, inner

    def produce(self, batches: Sequence[EncodedBatch]) -> Offsets:
        with self.log.locked(writes=True):
            return self.inner.produce(batches)


class FileConsumer(Consumer):
    def __init__(self, log: FileLog, inner: Consumer) -> None:
        self.log, self.inner = log, inner

    def poll(self, max_records: int, timeout: float) -> Sequence[LogBlock]:
        until = time.monotonic() + timeout
        while True:
            with self.log.locked():
                found = self.inner.poll(max_records, 0)
            if found or time.monotonic() >= until:
                return found
            time.sleep(0.005)

    def seek(self, offsets: Offsets) -> None:
        self.inner.seek(offsets)

    def only(self, partitions: frozenset[Partition]) -> None:
        self.inner.only(partitions)

    def positions(self) -> Offsets:
        return self.inner.positions()


class Wrapped(FileLog):
    """Makes producers and consumers of other classes."""

    produces: type[FileProducer] = FileProducer
    consumes: type[FileConsumer] = FileConsumer

    def producer(self) -> Producer:
        made = super().producer()
        assert isinstance(made, FileProducer)
        return self.produces(self, made.inner)

    def consumer(self, topics: Sequence[str]) -> Consumer:
        made = super().consumer(topics)
        assert isinstance(made, FileConsumer)
        return self.consumes(self, made.inner)
