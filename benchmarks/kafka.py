"""Over a real Kafka: frames → log, and log → table, each against the client's own calls on the same broker.

Broker and client share the machine, so wall time is as much the broker's; what counts is the CPU time of our process,
all threads of the client included. Wall figures are notes.
"""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import time
from collections.abc import Callable

from benchmarks import tape
from benchmarks.measure import Row
from benchmarks.real import settings as _settings
from benchmarks.rig import TOPIC, Rig
from benchmarks.watch import wait_until
from tests.services.kafka import Kafka
from tests.services.registry import Registry

A_COMMIT = 100_000
ORIGINAL = 9.7
"""Thousand messages a second of the system that k2 replaces, to a mock broker."""


def kafka(work: pathlib.Path, rows: int) -> list[Row]:
    """Frames to Kafka, and Kafka to a table."""
    with Registry(work / "registry") as registry:
        with Kafka(work / "kafka") as broker:
            found = _frames(work, broker.bootstrap_servers, _settings(broker, registry), rows)
        return [*found, *_table(work, registry, rows)]


def _measured(act: Callable[[], None]) -> tuple[float, float]:
    """CPU and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    act()
    return time.process_time() - cpu, time.perf_counter() - wall


def _frames(work: pathlib.Path, servers: str, settings: str, rows: int) -> list[Row]:
    groups = tape.cut(tape.frames(rows), 1000)
    rig = Rig(work / "frames", settings)
    encoded = [rig.encoded(group) for group in groups]
    payloads = [_payloads(batches) for batches in encoded]
    best = {name: (float("inf"), float("inf")) for name in ("bare", "encoded", "frames")}
    work_of: dict[str, Callable[[], None]] = {
        "bare": lambda: _bare(servers, payloads),
        "encoded": lambda: [rig.producer.produce(batches) for batches in encoded] and None,
        "frames": lambda: [rig.capture(group) for group in groups] and None,
    }
    for _, name in itertools.product(range(3), best):
        cpu, wall = _measured(work_of[name])
        best[name] = min(cpu, best[name][0]), min(wall, best[name][1])
    speed = {name: (rows / cpu / 1e3, rows / wall / 1e3) for name, (cpu, wall) in best.items()}
    rig.close()
    return [_compared("frames → Kafka, acks=all", speed["frames"], speed["bare"], 0.6),
            _compared("records → Kafka, acks=all", speed["encoded"], speed["bare"], 0.6),
            Row("frames → Kafka, wall", speed["frames"][1], "k/s", ORIGINAL, speed["frames"][1] / ORIGINAL, "≥ 8 ×",
                speed["frames"][1] >= 8 * ORIGINAL)]  # fmt: skip


def _compared(path: str, ours: tuple[float, float], bare: tuple[float, float], must: float) -> Row:
    ratio, notes = ours[0] / bare[0], {"wall k/s": ours[1], "bare wall k/s": bare[1]}
    return Row(path, ours[0], "k rows/CPU s", bare[0], ratio, f"≥ {must:.0%}", ratio >= must, notes)


def _payloads(batches: object) -> list[tuple[int, list[bytes]]]:
    """Framed values by partition, ready to be sent."""
    from k2_plugin_kafka.framing import head_of, messages_of

    return [
        (partition, [message["value"] for message in messages])
        for batch in batches  # type: ignore[attr-defined]
        for partition, messages in messages_of(batch, head_of(1), keyed=False)
    ]


def _bare(servers: str, payloads: list[list[tuple[int, list[bytes]]]]) -> None:
    """`produce_batch` of what is ready, idempotent, flushed after each batch of frames as ours is."""
    from confluent_kafka import Producer

    client = Producer(
        {"bootstrap.servers": servers, "enable.idempotence": True, "acks": "all", "linger.ms": 5,
         "queue.buffering.max.messages": 1_000_000}
    )  # fmt: skip
    for batch in payloads:
        for partition, values in batch:
            client.produce_batch(TOPIC.name, [{"value": value} for value in values], partition=partition)
        client.flush()


def _table(work: pathlib.Path, registry: Registry, rows: int) -> list[Row]:
    """Catching up: the same writer on Kafka and on the embedded log, in turn, each time from an empty log."""
    groups, best = tape.cut(tape.frames(rows), 1000), {"kafka": (0.0, 0.0), "embedded": (0.0, 0.0)}
    for turn, name in itertools.product(range(2), best):
        with contextlib.ExitStack() as stack:
            extra = ""
            if name == "kafka":
                extra = _settings(stack.enter_context(Kafka(work / f"broker{turn}")), registry)
            rig = Rig(work / f"{name}{turn}", extra)
            stack.callback(rig.close)
            taken = _measured(_caught_up(rig, groups, rows))
            best[name] = max(best[name], (rows / taken[0] / 1e3, rows / taken[1] / 1e3))
    return [_compared("Kafka → table against embedded → table", best["kafka"], best["embedded"], 0.6)]


def _caught_up(rig: Rig, groups: list[list[bytes]], rows: int) -> Callable[[], None]:
    """A log with everything in it, and what reads it into the table."""
    for group in groups:
        rig.capture(group)
    pipeline = rig.pipeline(A_COMMIT)
    wait_until(lambda: pipeline.step(0.1), 30)  # a share is given out first
    return lambda: rig.drain(pipeline, rows, A_COMMIT)
