"""What the log's tests share: logs in a folder, records that can be told apart, producers in other processes."""

from __future__ import annotations

import pathlib
import signal
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from k2core.broker.embedded import EmbeddedBroker
from k2core.broker.settings import EmbeddedSettings
from k2core.clock import Clock, SystemClock
from k2core.interfaces.broker import Consumer, EncodedBatch, LogBlock, TopicSpec

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOPIC = "market.crypto.trades.x"
PARTITIONS = 4


def spec(name: str = TOPIC, partitions: int = PARTITIONS, schemas: tuple[str, ...] = ('"one"',)) -> TopicSpec:
    return TopicSpec(name=name, partitions=partitions, subject=f"{name}-value", schemas=schemas)


def a_log(folder: pathlib.Path, clock: Clock | None = None, **settings: Any) -> EmbeddedBroker:
    """A log without topics."""
    metrics = settings.pop("metrics", None)
    made = EmbeddedSettings(path=folder / "log.db", **settings)
    return EmbeddedBroker(made, clock or SystemClock(), metrics=metrics)


def a_topic(folder: pathlib.Path, clock: Clock | None = None, **settings: Any) -> EmbeddedBroker:
    """A log with one topic."""
    log = a_log(folder, clock, **settings)
    log.ensure_topics([spec()])
    return log


def batch(numbers: Iterable[int], topic: str = TOPIC, size: int = 8) -> EncodedBatch:
    """One record a number, of `size` to `size` + 4 bytes that all follow from it, on partition number % 4."""
    data = [struct.pack("<q", n) + bytes([n % 251]) * (size - 8 + n % 5) for n in numbers]
    parts = np.array([n % PARTITIONS for n in numbers], np.int32)
    return EncodedBatch(topic, 1, parts, np.array([len(d) for d in data], np.uint32), b"".join(data))


def numbers_of(blocks: Sequence[LogBlock]) -> list[int]:
    """The numbers in blocks, each record's bytes proved."""
    found = []
    for block in blocks:
        assert sum(block.sizes.tolist()) == len(block.data)
        for end, size in zip(np.cumsum(block.sizes, dtype=np.int64).tolist(), block.sizes.tolist(), strict=True):
            text = block.data[end - size : end]
            number = struct.unpack("<q", text[:8])[0]
            assert text[8:] == bytes([number % 251]) * (size - 8)
            assert number % PARTITIONS == block.partition
            found.append(number)
    return found


def drain(consumer: Consumer, max_records: int = 50) -> list[LogBlock]:
    """All that is left to read."""
    found: list[LogBlock] = []
    while got := consumer.poll(max_records, 0):
        found += got
    return found


def read_all(log: EmbeddedBroker, topic: str = TOPIC) -> list[LogBlock]:
    """Everything from the start; offsets rise by one within an epoch, append times never fall."""
    consumer = log.consumer([topic])
    found, at, times = drain(consumer), dict[int, int](), dict[int, int]()
    consumer.close()
    for block in found:
        before = at.get(block.partition, 0)
        assert block.first_offset == before or block.first_offset == (block.first_offset >> 40) << 40 > before
        assert block.timestamp_us >= times.get(block.partition, 0)
        at[block.partition], times[block.partition] = block.next_offset, block.timestamp_us
    return found


PRODUCER = """
import pathlib, sys
from tests.integration.broker.log_world import a_topic, batch
with a_topic(pathlib.Path(sys.argv[1]), durability=sys.argv[3]) as log:
    producer, number = log.producer(), int(sys.argv[2])
    while True:
        producer.produce([batch(range(number, number + 20))])
        number += 20
        print(number, flush=True)
"""


def producing(folder: pathlib.Path, start: int, durability: str = "full") -> subprocess.Popen[str]:
    """A process that appends without end, and prints the number before which all is acknowledged."""
    return running(PRODUCER, folder, start, durability)


def running(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process of its own."""
    asked = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def heard(process: subprocess.Popen[str], lines: int) -> list[str]:
    """The first lines that it prints."""
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(lines)]


def killed(process: subprocess.Popen[str]) -> list[str]:
    """`kill -9`, and the whole lines that were still in its pipe."""
    process.kill()
    out, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"it ended by itself: {errors}"
    return [line for line in out.splitlines(keepends=True) if line.endswith("\n")]


def acknowledged(lines: list[str], start: int) -> set[int]:
    """The numbers that a producer was told are durable."""
    return set(range(start, int(lines[-1]))) if lines else set()
