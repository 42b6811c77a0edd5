"""The embedded log with several processes at once, killed at any moment."""

from __future__ import annotations

import pathlib
import random
import threading
import time

import pytest

from k2core.errors import LogBusyError
from tests.integration.broker.log_parts import TOPIC, batch, numbers_of, open_log, producing, read_all


def acknowledged(lines: list[str], start: int) -> set[int]:
    return set(range(start, int(lines[-1]))) if lines else set()


def test_processes_append_at_once_and_no_offset_is_used_twice(tmp_path: pathlib.Path) -> None:
    log = open_log(tmp_path)
    started = [producing(tmp_path, start) for start in (0, 1_000_000, 2_000_000)]
    heard = []
    for one in started:
        assert one.stdout is not None
        heard.append([one.stdout.readline() for _ in range(15)])
    for one, lines in zip(started, heard, strict=True):
        one.kill()
        lines += one.communicate()[0].splitlines()
    got = numbers_of(read_all(log))
    assert len(got) == len(set(got))
    for start, lines in zip((0, 1_000_000, 2_000_000), heard, strict=True):
        assert acknowledged(lines, start) <= set(got)
    log.close()


def test_what_was_acknowledged_survives_kill_9_of_the_producer(tmp_path: pathlib.Path) -> None:
    moments, promised, start = random.Random(5), set[int](), 0
    for _ in range(10):
        one = producing(tmp_path, start)
        assert one.stdout is not None
        lines = [one.stdout.readline()]
        time.sleep(moments.uniform(0.0, 0.15))
        one.kill()
        lines += one.communicate()[0].splitlines(keepends=True)
        promised |= acknowledged([line for line in lines if line.endswith("\n")], start)
        start += 1_000_000
    log = open_log(tmp_path)
    got = numbers_of(read_all(log))
    assert len(got) == len(set(got))
    assert promised <= set(got)
    assert all(block.first_offset < 1 << 40 for block in read_all(log)), "a killed process is no reason for a new epoch"
    log.close()


def test_a_consumer_sees_what_another_process_appends_soon(tmp_path: pathlib.Path) -> None:
    log = open_log(tmp_path)
    consumer = log.consumer([TOPIC])
    assert consumer.poll(10, 0) == []
    one = producing(tmp_path, 0)
    try:
        assert numbers_of(consumer.poll(20, 20))[0] % 4 == 0
    finally:
        one.kill()
        one.communicate()
        log.close()


def test_a_held_write_lock_is_a_typed_error_and_nothing_is_appended(tmp_path: pathlib.Path) -> None:
    log = open_log(tmp_path, busy_timeout_s=0.05)
    producer = log.producer()
    other = open_log(tmp_path)
    with other._write(), pytest.raises(LogBusyError, match="busy_timeout_s"):
        producer.produce([batch(range(4))])
    producer.produce([batch(range(4, 8))])
    assert sorted(numbers_of(read_all(log))) == [4, 5, 6, 7]
    log.close()
    other.close()


def test_a_closed_time_stays_closed_while_others_append(tmp_path: pathlib.Path) -> None:
    log = open_log(tmp_path)
    stop, errors = threading.Event(), list[BaseException]()

    def append() -> None:
        producer, number = log.producer(), 0
        try:
            while not stop.is_set():
                producer.produce([batch(range(number, number + 4))])
                number += 4
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=append) for _ in range(2)]
    for one in threads:
        one.start()
    promises = []
    for _ in range(40):
        at = log.closed_until([TOPIC])
        promises.append((at, log.ends([TOPIC])))
        time.sleep(0.005)
    stop.set()
    for one in threads:
        one.join()
    assert not errors
    blocks = read_all(log)
    assert promises[-1][0] > promises[0][0]
    for at, ends in promises:
        for block in blocks:
            if block.first_offset >= ends.get((TOPIC, block.partition), 0):
                assert block.timestamp_us > at
    log.close()
