"""What the log's tests share: a log in a folder, records that can be told apart, a producer in another process."""

from __future__ import annotations

import pathlib
import struct
import subprocess
import sys
from typing import Any

import numpy as np

from k2core.broker.embedded import EmbeddedBroker
from k2core.broker.settings import EmbeddedSettings
from k2core.clock import Clock, SystemClock
from k2core.interfaces.broker import EncodedBatch, LogBlock, TopicSpec

TOPIC = "market.crypto.trades.x"
SPEC = TopicSpec(name=TOPIC, partitions=4, subject=f"{TOPIC}-value", schemas=('"one"',))

PRODUCER = """
import pathlib, sys
from tests.integration.broker.log_parts import batch, open_log
log = open_log(pathlib.Path(sys.argv[1]))
producer, number = log.producer(), int(sys.argv[2])
while True:
    producer.produce([batch(range(number, number + 20))])
    number += 20
    print(number, flush=True)
"""


def open_log(folder: pathlib.Path, clock: Clock | None = None, **settings: Any) -> EmbeddedBroker:
    log = EmbeddedBroker(EmbeddedSettings(path=folder / "log.db", **settings), clock or SystemClock())
    log.ensure_topics([SPEC])
    return log


def batch(numbers: Any, topic: str = TOPIC) -> EncodedBatch:
    """One record a number, of 8 to 11 bytes, on partition number % 4."""
    data = [struct.pack("<q", n) + b"x" * (n % 4) for n in numbers]
    parts = np.array([n % 4 for n in numbers], np.int32)
    return EncodedBatch(topic, 1, parts, np.array([len(d) for d in data], np.uint32), b"".join(data))


def numbers_of(blocks: Any) -> list[int]:
    """The numbers in blocks, and that offsets and bytes fit them."""
    found = []
    for block in blocks:
        ends = np.cumsum(block.sizes, dtype=np.int64)
        for end, size in zip(ends.tolist(), block.sizes.tolist(), strict=True):
            number = struct.unpack("<q", block.data[end - size : end - size + 8])[0]
            assert size == 8 + number % 4
            assert number % 4 == block.partition
            found.append(number)
    return found


def read_all(log: EmbeddedBroker) -> list[LogBlock]:
    """Everything from the start, in polls of a few records; offsets rise without holes within an epoch."""
    consumer, found, at = log.consumer([TOPIC]), [], dict[int, int]()
    while got := consumer.poll(50, 0):
        for block in got:
            before = at.get(block.partition, 0)
            assert block.first_offset == before or (block.first_offset > before and block.first_offset % (1 << 40) == 0)
            at[block.partition] = block.next_offset
        found += got
    consumer.close()
    return found


def producing(folder: pathlib.Path, start: int) -> subprocess.Popen[str]:
    """A process that appends without end, and prints what it was told is durable."""
    root = pathlib.Path(__file__).resolve().parents[3]
    asked = [sys.executable, "-c", PRODUCER, str(folder), str(start)]
    return subprocess.Popen(asked, stdout=subprocess.PIPE, text=True, cwd=root)
