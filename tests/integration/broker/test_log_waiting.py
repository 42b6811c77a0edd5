"""Waiting for records: soon after the append, and cheap while there are none."""

from __future__ import annotations

import pathlib
import statistics
import threading
import time

from k2core.testing.clock import ManualClock
from tests.integration.broker.log_world import TOPIC, a_topic, batch, numbers_of


def test_a_waiting_consumer_sees_an_append_within_milliseconds(tmp_path: pathlib.Path) -> None:
    # The best of some: a busy machine must not fail this, a consumer that sleeps must.
    assert min(_median_delay(tmp_path / str(turn)) for turn in range(5)) < 0.02


def _median_delay(folder: pathlib.Path) -> float:
    seen: list[float] = []
    folder.mkdir()
    with a_topic(folder) as log:
        consumer, ready = log.consumer([TOPIC]), threading.Semaphore(0)

        def wait() -> None:
            for _ in range(20):
                ready.release()
                assert consumer.poll(10, 30)
                seen.append(time.monotonic())

        waiting = threading.Thread(target=wait)
        waiting.start()
        producer, told = log.producer(), []
        for number in range(20):
            ready.acquire()
            time.sleep(0.03)  # so that it has become as lazy as it gets
            producer.produce([batch([number])])
            told.append(time.monotonic())
        waiting.join()
    delays = [at - since for at, since in zip(seen, told, strict=True)]
    return statistics.median(delays)


def test_an_idle_consumer_costs_next_to_nothing_and_keeps_to_its_timeout(tmp_path: pathlib.Path) -> None:
    with a_topic(tmp_path, ManualClock()) as log:
        consumer = log.consumer([TOPIC])
        wall, cpu = time.monotonic(), time.thread_time()
        assert consumer.poll(10, 1.0) == []
        wall, cpu = time.monotonic() - wall, time.thread_time() - cpu
        assert 1.0 <= wall < 60.0
        assert cpu < 0.06, f"{cpu * 100:.1f} % of a core"


def test_what_concerns_other_topics_wakes_nobody_up(tmp_path: pathlib.Path) -> None:
    with a_topic(tmp_path) as log, a_topic(tmp_path) as other:
        consumer = log.consumer([TOPIC])
        log.register("lake", [TOPIC])
        assert consumer.poll(10, 0.02) == []
        other.producer().produce([batch([0])])
        assert numbers_of(consumer.poll(10, 5)) == [0]
