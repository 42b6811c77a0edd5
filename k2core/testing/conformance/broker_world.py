"""What the broker suite works with: numbered records that can be told apart and proved, topics, other processes.

A record's bytes all follow from its number, and its partition is number % 4, so that what is read proves itself. Other
processes load the suite's own file again (see `broker_child`) and are always ended, whatever the test does.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from k2core.clock import Clock, SystemClock
from k2core.interfaces.broker import Broker, Consumer, EncodedBatch, LogBlock, Partition, TopicSpec
from k2core.testing.clock import ManualClock
from k2core.testing.conformance.facts import FactSuite

PARTITIONS = 4
SCHEMAS = ('"int"', '"long"')
"""Avro, each readable by those that follow, as a real schema registry wants it."""


class BrokerFacts(FactSuite):
    """How a log is opened, and what is declared of it. A subclass gives `open`, and sets what is true.

    `open` must work on an instance made without arguments, also in another process, which loads the subclass's file by
    its path: a server's address is handed on through the environment, never through a fixture.

    Attributes:
        durable: Closed and opened again, it holds what it held; with `processes` also after `kill -9`.
        processes: Several processes may have it open at once.
        holes: Offsets of one partition may leave out numbers, as transaction markers make them.
        retention_s: Records older than this, and released, go when something is appended (see `expire`); None where
            the suite cannot make records go.
        checks: Damaged bytes are noticed; a subclass that says so gives `damage`.
        own_clock: Append times come from the `clock` given to `open`, not from a server.
        shares: Who joins under one name shares the partitions.
        silent_s: Who asks for nothing for so long, by the `clock`, is gone; None where a member is alive on its own.
        wait_s: The longest that a single wait for another process may take.
    """

    durable: bool = False
    processes: bool = False
    holes: bool = False
    retention_s: float | None = None
    checks: bool = False
    own_clock: bool = True
    shares: bool = False
    silent_s: float | None = None
    wait_s: float = 60.0

    def open(self, place: Path, clock: Clock) -> Broker:
        """The log of a place; the same place again is the same log, where it is durable or has several processes.

        Args:
            place: An existing folder, empty at first; what has no files takes its text as a namespace.
            clock: Stamps appends; tests move it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define open(self, place, clock) -> Broker")

    def damage(self, place: Path) -> None:
        """Change bytes of records that lie in the closed log, as a bad disk does."""
        raise NotImplementedError(f"{type(self).__name__} declares checks = True and must define damage(self, place)")

    def expire(self, log: Broker, clock: ManualClock, topic: str) -> None:
        """Let everything appended so far become old enough to go, and retention look at it; appends a record."""
        clock.advance(2 * (self.retention_s or 0))
        log.producer().produce([numbered(topic, range(10_000, 10_004))])

    def topic(self, place: Path, data_type: str = "trades") -> str:
        """A topic name that no other test uses, for logs that are one server."""
        return f"market.crypto.{data_type}.x{zlib.crc32(str(place).encode()):08x}"

    @contextlib.contextmanager
    def opened(self, place: Path, clock: Clock | None = None) -> Iterator[Broker]:
        """The log with the place's topic in it, closed at the end."""
        place.mkdir(parents=True, exist_ok=True)
        with self.open(place, clock or SystemClock()) as log:
            assert isinstance(log, Broker), f"open made a {type(log).__name__}, not a Broker"
            log.ensure_topics([topic_spec(self.topic(place))])
            yield log

    @contextlib.contextmanager
    def appending(self, place: Path, start: int, appends: int = 0) -> Iterator[Appending]:
        """Another process that appends 20 records at a time, from number `start` on; 0 appends: until it is killed."""
        order = {
            "file": inspect.getfile(type(self)), "suite": type(self).__qualname__, "place": str(place), "start": start,
            "topic": self.topic(place), "appends": appends, "path": [*sys.path, os.getcwd()],
        }  # fmt: skip
        code = "from k2core.testing.conformance.broker_child import main; main()"
        child = subprocess.Popen(  # noqa: S603 - this very Python
            [sys.executable, "-c", code, json.dumps(order)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            yield Appending(child, start, self.wait_s)
        finally:
            child.kill()
            child.communicate()


class Appending:
    """A process that appends, as seen from here."""

    def __init__(self, child: subprocess.Popen[str], start: int, wait_s: float) -> None:
        self._child, self._start, self._wait_s = child, start, wait_s
        self._told = start

    def hear(self, appends: int) -> None:
        """Wait until it was told that so many appends are durable."""
        assert self._child.stdout is not None
        for _ in range(appends):
            line = self._child.stdout.readline()
            assert line, f"the other process ended: {self._child.stderr.read() if self._child.stderr else ''}"
            self._told = int(line)

    def finish(self) -> set[int]:
        """Wait for its end; the numbers that it was told are durable."""
        out, errors = self._child.communicate(timeout=self._wait_s)
        assert self._child.returncode == 0, f"the other process failed: {errors}"
        return self._numbers(out)

    def kill(self) -> set[int]:
        """`kill -9`; the numbers that it was told are durable."""
        self._child.kill()
        return self._numbers(self._child.communicate()[0])

    def _numbers(self, out: str) -> set[int]:
        whole = [line for line in out.splitlines(keepends=True) if line.endswith("\n")]
        return set(range(self._start, int(whole[-1]) if whole else self._told))


def topic_spec(name: str, partitions: int = PARTITIONS, schemas: tuple[str, ...] = SCHEMAS) -> TopicSpec:
    """A topic as a test wants it."""
    return TopicSpec(name=name, partitions=partitions, subject=f"{name}-value", schemas=schemas)


def numbered(topic: str, numbers: Iterable[int], *, size: int = 8, version: int = 1) -> EncodedBatch:
    """One record a number, of `size` to `size` + 4 bytes that all follow from it, on partition number % 4."""
    given = list(numbers)
    data = [struct.pack("<q", n) + bytes([n % 251]) * (size - 8 + n % 5) for n in given]
    parts = np.array([n % PARTITIONS for n in given], np.int32)
    return EncodedBatch(topic, version, parts, np.array([len(d) for d in data], np.uint32), b"".join(data))


def numbers_of(blocks: Sequence[LogBlock]) -> list[int]:
    """The numbers in blocks, in the order of reading, each record's bytes and partition proved."""
    found = []
    for block in blocks:
        assert sum(block.sizes.tolist()) == len(block.data), "sizes and data of a block do not fit together"
        for end, size in zip(np.cumsum(block.sizes, dtype=np.int64).tolist(), block.sizes.tolist(), strict=True):
            text = block.data[end - size : end]
            number = struct.unpack("<q", text[:8])[0]
            assert text[8:] == bytes([number % 251]) * (size - 8), f"record {number} is not what was written"
            assert number % PARTITIONS == block.partition, f"record {number} lies on partition {block.partition}"
            found.append(number)
    return found


def drain(consumer: Consumer, max_records: int = 1000, timeout: float = 0.0) -> list[LogBlock]:
    """All that is left to read."""
    found: list[LogBlock] = []
    while got := consumer.poll(max_records, timeout):
        found += got
    return found


def read_all(log: Broker, topic: str, timeout: float = 0.0) -> list[LogBlock]:
    """Everything that the log holds of a topic, by a consumer of its own."""
    consumer = log.consumer([topic])
    consumer.seek(log.starts([topic]))
    found = drain(consumer, timeout=timeout)
    consumer.close()
    return found


def on(topic: str, offset: int) -> dict[Partition, int]:
    """The same next offset on every partition."""
    return {(topic, p): offset for p in range(PARTITIONS)}
