"""The embedded log with several processes at once, killed at any moment."""

from __future__ import annotations

import itertools
import pathlib
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from k2core.errors import LogBusyError
from k2core.interfaces.broker import Partition
from tests.integration.broker.log_world import (
    TOPIC,
    a_topic,
    acknowledged,
    batch,
    heard,
    killed,
    numbers_of,
    producing,
    read_all,
)


@pytest.mark.parametrize(("durability", "turns"), [("full", 5), ("normal", 2)])
def test_what_was_acknowledged_survives_kill_9(tmp_path: pathlib.Path, durability: str, turns: int) -> None:
    moments, promised = random.Random(5), set[int]()
    for turn in range(turns):  # two at a time, so that one is killed while the other writes
        started = {start: producing(tmp_path, start, durability) for start in (2 * turn << 32, 2 * turn + 1 << 32)}
        lines = {start: heard(one, 1) for start, one in started.items()}
        for start, one in started.items():
            time.sleep(moments.uniform(0.0, 0.05))
            promised |= acknowledged(lines[start] + killed(one), start)
    with a_topic(tmp_path) as log:
        blocks = read_all(log)
        got = numbers_of(blocks)
        assert len(got) == len(set(got))
        assert promised <= set(got)
        assert len(promised) >= 40 * turns
        assert all(block.first_offset < 1 << 40 for block in blocks), "kill -9 is no reason for a new epoch"


def test_killed_beside_a_living_process_nothing_is_lost(tmp_path: pathlib.Path) -> None:
    promised, moments = set[int](), random.Random(6)
    with a_topic(tmp_path) as log:
        producer = log.producer()
        for turn in range(6):
            start = (turn + 1) * 1_000_000
            one = producing(tmp_path, start)
            lines = heard(one, 1)
            for own in range(turn * 100, turn * 100 + 20, 4):
                producer.produce([batch(range(own, own + 4))])
                promised |= set(range(own, own + 4))
            time.sleep(moments.uniform(0.0, 0.05))
            promised |= acknowledged(lines + killed(one), start)
        assert promised <= set(numbers_of(read_all(log)))
    with a_topic(tmp_path) as log:
        assert promised <= set(numbers_of(read_all(log)))


def test_a_frozen_process_with_the_write_lock_is_a_typed_error_and_nothing_is_appended(tmp_path: pathlib.Path) -> None:
    with a_topic(tmp_path, busy_s=0.1) as log, a_topic(tmp_path) as other:
        producer = log.producer()
        other._open()
        with other._file.writing(other._writes), pytest.raises(LogBusyError, match="busy_s"):
            producer.produce([batch(range(4))])
        producer.produce([batch(range(4, 8))])
        assert sorted(numbers_of(read_all(log))) == [4, 5, 6, 7]


def test_opening_waits_for_one_who_closes_the_log_just_now(tmp_path: pathlib.Path) -> None:
    """SQLite shuts everybody out for an instant on each close, to learn whether it is the last."""
    with a_topic(tmp_path) as log, ThreadPoolExecutor(1) as pool:
        log.producer().produce([batch(range(4))])
        done = threading.Event()

        def close_often() -> int:
            turns = 0
            while not done.is_set():
                log.consumer([TOPIC]).close()
                turns += 1
            return turns

        closing = pool.submit(close_often)
        try:
            for _ in range(3000):
                log.producer().close()
        finally:
            done.set()
        assert closing.result(120) > 300
        log.producer().produce([batch(range(4, 8))])
        assert sorted(numbers_of(read_all(log))) == list(range(8))


def test_a_process_stopped_anywhere_never_blocks_reading(tmp_path: pathlib.Path) -> None:
    with a_topic(tmp_path, busy_s=0.2) as log:
        one = producing(tmp_path, 0)
        heard(one, 3)
        one.send_signal(signal.SIGSTOP)
        try:
            assert len(numbers_of(read_all(log))) >= 60
            assert log.ends([TOPIC])
        finally:
            killed(one)
        log.producer().produce([batch(range(-4, 0))])


def test_writers_in_a_loop_starve_nobody_and_a_closed_time_stays_closed(tmp_path: pathlib.Path) -> None:
    stop = threading.Event()
    with a_topic(tmp_path, closed_step_us=0, closed_margin_us=0) as log, ThreadPoolExecutor() as pool:

        def append(start: int) -> int:
            producer = log.producer()
            for number in itertools.count(start, 4):
                producer.produce([batch(range(number, number + 4))])
                if stop.is_set():
                    break
            return number

        appending = [pool.submit(append, n << 32) for n in range(2)]
        promises: list[tuple[int, dict[Partition, int]]] = []
        while len(promises) < 50:
            closed = log.closed_until([TOPIC])
            promises.append((closed, log.ends([TOPIC])))
            time.sleep(0.002)
        stop.set()
        assert [job.result(120) for job in appending]
        assert promises[-1][0] > promises[0][0]
        blocks = read_all(log)
        for closed, ends in promises:
            later = [b.timestamp_us for b in blocks if b.first_offset >= ends.get((TOPIC, b.partition), 0)]
            assert all(at > closed for at in later), closed
        assert any(b.timestamp_us > promises[0][0] for b in blocks), "appended while times were closed"
