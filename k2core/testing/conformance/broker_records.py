"""MUSTs of a log within one process: topics, appends, order, positions, seeking, times, waiting."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from k2core.clock import SystemClock
from k2core.errors import BrokerError, OffsetGoneError, SchemaError, TopicChangedError
from k2core.interfaces.broker import EncodedBatch, LogBlock, Partition
from k2core.testing.clock import ManualClock
from k2core.testing.conformance.broker_world import (
    PARTITIONS,
    BrokerFacts,
    drain,
    numbered,
    numbers_of,
    on,
    read_all,
    topic_spec,
)


class RecordTests(BrokerFacts):
    """One process, one log."""

    def test_B01_a_topic_is_made_once_and_keeps_its_id(self, tmp_path: Path) -> None:
        """Asking again changes nothing, and another topic has another id."""
        topic, quotes = self.topic(tmp_path), self.topic(tmp_path, "quotes")
        with self.opened(tmp_path) as log:
            first = log.topics()[topic]
            assert (first.name, first.partitions) == (topic, PARTITIONS)
            log.ensure_topics([topic_spec(topic), topic_spec(quotes)])
            assert log.topics()[topic] == first
            assert log.topics()[quotes].id not in ("", first.id)

    def test_B02_a_topic_of_one_name_in_another_log_has_another_id(self, tmp_path: Path) -> None:
        """A table that was fed by one must notice the other."""
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        ids = []
        for name in ("a", "b"):
            topic = self.topic(tmp_path / name)
            with self.opened(tmp_path / name) as log:
                ids.append(log.topics()[topic].id)
        assert ids[0] != ids[1]

    def test_B03_the_number_of_partitions_is_fixed_and_nothing_else_is_made(self, tmp_path: Path) -> None:
        """All topics of a call, or none."""
        topic, quotes = self.topic(tmp_path), self.topic(tmp_path, "quotes")
        with self.opened(tmp_path) as log:
            with pytest.raises(TopicChangedError):
                log.ensure_topics([topic_spec(quotes), topic_spec(topic, partitions=8)])
            assert log.topics()[topic].partitions == PARTITIONS
            assert quotes not in log.topics()

    def test_B04_a_lineage_only_grows(self, tmp_path: Path) -> None:
        """Newer schemas behind those that are there; any other lineage is refused."""
        topic = self.topic(tmp_path)
        with self.opened(tmp_path) as log:
            log.ensure_topics([topic_spec(topic, schemas=('"int"', '"long"', '"double"'))])
            for other in (('"long"',), ('"int"', '"float"', '"double"')):
                with pytest.raises(SchemaError):
                    log.ensure_topics([topic_spec(topic, schemas=other)])
            log.producer().produce([numbered(topic, [0], version=3)])

    def test_B05_an_append_tells_the_next_offsets(self, tmp_path: Path) -> None:
        """Of the partitions that were written to, and `ends` says the same; no append is no change."""
        topic = self.topic(tmp_path)
        with self.opened(tmp_path) as log:
            assert log.ends([topic]) == {}
            producer = log.producer()
            first = dict(producer.produce([numbered(topic, range(8)), numbered(topic, [8, 9])]))
            assert sorted(first) == sorted(on(topic, 0))
            assert log.ends([topic]) == first
            second = dict(producer.produce([numbered(topic, [12])]))
            assert list(second) == [(topic, 0)]
            assert log.ends([topic]) == first | second
            assert producer.produce([]) == {}
            assert log.starts([topic]) == on(topic, 0)

    def test_B06_bytes_and_versions_come_back_as_they_went_in(self, tmp_path: Path) -> None:
        """Small, empty and large records, of either version."""
        topic, texts = self.topic(tmp_path), [b"", b"\x00", b"x" * 300_000, bytes(range(256)), b""]
        sizes = np.array([len(t) for t in texts], np.uint32)
        with self.opened(tmp_path) as log:
            parts = np.zeros(len(texts), np.int32)
            producer = log.producer()
            for version in (1, 2):
                producer.produce([EncodedBatch(topic, version, parts, sizes, b"".join(texts))])
            found: dict[int, list[bytes]] = {}
            for block in read_all(log, topic):
                found.setdefault(block.version, []).extend(_datums(block))
        assert found == {1: texts, 2: texts}

    def test_B07_records_of_a_partition_keep_their_order(self, tmp_path: Path) -> None:
        """Within an append and over appends, however few are read at once."""
        topic = self.topic(tmp_path)
        with self.opened(tmp_path) as log:
            producer = log.producer()
            for start in range(0, 200, 20):
                producer.produce([numbered(topic, range(start, start + 12)), numbered(topic, range(start + 12, start + 20))])  # fmt: skip
            for most in (1, 7, 10_000):
                consumer = log.consumer([topic])
                got = numbers_of(drain(consumer, most))
                consumer.close()
                for p in range(PARTITIONS):
                    assert [n for n in got if n % PARTITIONS == p] == list(range(p, 200, PARTITIONS))

    def test_B08_offsets_follow_each_other(self, tmp_path: Path) -> None:
        """From 0 on, without a hole; with `holes` declared they rise, and a block has none within."""
        topic = self.topic(tmp_path)
        with self.opened(tmp_path) as log:
            producer = log.producer()
            for start in range(0, 60, 12):
                producer.produce([numbered(topic, range(start, start + 12))])
            at: dict[Partition, int] = {}
            for block in read_all(log, topic):
                place = block.topic, block.partition
                expected = at.get(place, 0)
                assert block.first_offset >= expected if self.holes else block.first_offset == expected, place
                at[place] = block.next_offset
            ends = log.ends([topic])
            assert at == ends or (self.holes and all(at[p] <= ends[p] for p in ends))

    def test_B09_a_poll_gives_whole_blocks_and_stops_at_its_limit(self, tmp_path: Path) -> None:
        """At least one block where there is one, and none beyond the one that reaches the limit."""
        topic = self.topic(tmp_path)
        with self.opened(tmp_path) as log:
            producer = log.producer()
            for start in range(0, 400, 20):
                producer.produce([numbered(topic, range(start, start + 20))])
            for most in (1, 6, 33):
                consumer, seen = log.consumer([topic]), 0
                while blocks := consumer.poll(most, 0):
                    assert sum(len(b) for b in blocks[:-1]) < most, f"poll({most}) went on beyond its limit"
                    seen += sum(map(len, blocks))
                consumer.close()
                assert seen == 400

    def test_B10_seek_finds_every_place(self, tmp_path: Path) -> None:
        """Forwards, backwards and within a block, which is then cut; a partition that is not named stays."""
        topic = self.topic(tmp_path)
        with self.opened(tmp_path) as log:
            producer, consumer = log.producer(), log.consumer([topic])
            for start in range(0, 120, 40):
                producer.produce([numbered(topic, range(start, start + 40))])
            where = {(b.partition, o): n for b in read_all(log, topic) for o, n in _positions(b)}
            for at in ([0, 0, 0, 0], [5, 10, 29, 30], [30, 30, 30, 11], [7, 23, 12, 15], [1, 0, 0, 0]):
                consumer.seek({(topic, p): offset for p, offset in enumerate(at)})
                want = sorted(n for (p, o), n in where.items() if o >= at[p])
                assert sorted(numbers_of(drain(consumer, 13))) == want, at
            consumer.seek({(topic, 2): 28})
            assert sorted(numbers_of(drain(consumer))) == sorted(n for (p, o), n in where.items() if p == 2 and o >= 28)

    def test_B11_a_place_that_was_never_given_out_is_an_error(self, tmp_path: Path) -> None:
        """A consumer that is ahead of the log has another log's positions: silence would hide that for ever."""
        topic = self.topic(tmp_path)
        with self.opened(tmp_path) as log:
            log.producer().produce([numbered(topic, range(8))])
            consumer = log.consumer([topic])
            consumer.seek({(topic, 2): 1_000_000})
            with pytest.raises(OffsetGoneError):
                [consumer.poll(100, 0.2) for _ in range(3)]

    def test_B12_positions_are_where_reading_goes_on(self, tmp_path: Path) -> None:
        """At first 0, then behind what was handed out, after a seek where it went."""
        topic = self.topic(tmp_path)
        with self.opened(tmp_path) as log:
            consumer = log.consumer([topic])
            assert all(at == 0 for at in consumer.positions().values())
            log.producer().produce([numbered(topic, range(40))])
            (first, *rest) = consumer.poll(1, 0)
            at = consumer.positions()
            for block in (first, *rest):
                assert at[topic, block.partition] == block.next_offset
            drain(consumer)
            assert {p: o for p, o in consumer.positions().items() if o} == log.ends([topic])
            consumer.seek({(topic, 1): 3})
            assert consumer.positions()[topic, 1] == 3

    def test_B13_consumers_do_not_touch_each_other(self, tmp_path: Path) -> None:
        """Each reads everything, of the topics that it asked for and no other."""
        topic, quotes = self.topic(tmp_path), self.topic(tmp_path, "quotes")
        with self.opened(tmp_path) as log:
            log.ensure_topics([topic_spec(quotes)])
            log.producer().produce([numbered(topic, range(12)), numbered(quotes, range(100, 108))])
            one, other, both = log.consumer([topic]), log.consumer([topic]), log.consumer([topic, quotes])
            assert sorted(numbers_of(drain(one))) == list(range(12))
            assert sorted(numbers_of(drain(other))) == list(range(12))
            assert sorted(numbers_of(drain(both))) == [*range(12), *range(100, 108)]

    def test_B14_an_append_is_all_or_nothing(self, tmp_path: Path) -> None:
        """One batch that does not fit, and nothing of the call is in the log."""
        topic = self.topic(tmp_path)
        outside = EncodedBatch(topic, 1, np.array([PARTITIONS], np.int32), np.array([1], np.uint32), b"x")
        with self.opened(tmp_path) as log:
            producer, good = log.producer(), numbered(topic, range(4))
            with pytest.raises(SchemaError):
                producer.produce([good, outside])
            with pytest.raises(SchemaError):
                producer.produce([good, numbered(topic, range(4), version=9)])
            with pytest.raises(BrokerError):
                producer.produce([good, numbered(f"{topic}nowhere", range(4))])
            producer.produce([numbered(topic, range(20, 24))])
            assert sorted(numbers_of(read_all(log, topic))) == [20, 21, 22, 23]

    def test_B15_what_is_not_there_is_named(self, tmp_path: Path) -> None:
        """A topic that nobody made is a typed error."""
        with self.opened(tmp_path) as log:
            missing = f"{self.topic(tmp_path)}nowhere"
            with pytest.raises(BrokerError, match=missing):
                log.consumer([missing])
            with pytest.raises(BrokerError, match=missing):
                log.register("lake", [missing])

    def test_B16_append_times_never_fall(self, tmp_path: Path) -> None:
        """Also where the clock is set back."""
        topic, clock = self.topic(tmp_path), ManualClock(SystemClock().now_ns())
        with self.opened(tmp_path, clock) as log:
            producer = log.producer()
            for step in (0, -1000, 2000):
                clock.set(clock.now_ns() + step * 1_000_000_000)
                producer.produce([numbered(topic, [0, 4])])
            times = [block.timestamp_us for block in read_all(log, topic)]
        assert times == sorted(times)
        assert not self.own_clock or times[-1] >= clock.now_us()

    def test_B17_a_closed_time_stays_closed(self, tmp_path: Path) -> None:
        """What is appended after the promise has a later time, and the promise never goes back."""
        topic, clock = self.topic(tmp_path), ManualClock(SystemClock().now_ns())
        with self.opened(tmp_path, clock) as log:
            producer, promises = log.producer(), []
            for number in range(0, 20, 4):
                promises.append(log.closed_until([topic]))
                producer.produce([numbered(topic, [number])])
                clock.advance(0.01)
            assert promises == sorted(promises)
            times = [block.timestamp_us for block in read_all(log, topic) for _ in range(len(block))]
            assert all(at > promise for promise, at in zip(promises, times, strict=True))

    def test_B18_a_poll_waits_for_its_timeout_and_no_longer_than_for_a_record(self, tmp_path: Path) -> None:
        """0 returns at once; an append ends the wait."""
        topic = self.topic(tmp_path)
        with self.opened(tmp_path) as log, ThreadPoolExecutor(1) as pool:
            consumer, started = log.consumer([topic]), time.monotonic()
            assert consumer.poll(10, 0) == [] or not consumer.poll(10, 0)
            assert not consumer.poll(10, 0.3)
            assert 0.2 < time.monotonic() - started < 5
            waiting = pool.submit(consumer.poll, 10, self.wait_s)
            log.producer().produce([numbered(topic, [4])])
            assert numbers_of(waiting.result(self.wait_s / 2)) == [4]
            assert not consumer.poll(10, 0)
            log.producer().produce([numbered(topic, [8])])
            found, until = list[int](), time.monotonic() + self.wait_s
            while not found and time.monotonic() < until:  # an end that was seen once is none for ever
                found = numbers_of(consumer.poll(10, 0))
            assert found == [8]

    def test_B19_threads_append_and_read_at_once(self, tmp_path: Path) -> None:
        """Each with a producer or consumer of its own: nothing lost, nothing twice, each producer's order kept."""
        topic, stop = self.topic(tmp_path), threading.Event()
        with self.opened(tmp_path) as log, ThreadPoolExecutor(3) as pool:

            def append(start: int) -> None:
                producer = log.producer()
                for number in range(start, start + 200, 20):
                    producer.produce([numbered(topic, range(number, number + 20))])
                producer.close()

            def read() -> list[int]:
                consumer, found = log.consumer([topic]), list[int]()
                while not stop.is_set():
                    found += numbers_of(consumer.poll(1000, 0.05))
                return found + numbers_of(drain(consumer))

            reading = pool.submit(read)
            for job in [pool.submit(append, start) for start in (0, 1000)]:
                job.result(self.wait_s)
            stop.set()
            got = reading.result(self.wait_s)
        assert sorted(got) == [*range(200), *range(1000, 1200)]
        for p, half in ((p, half) for p in range(PARTITIONS) for half in (0, 1)):
            own = [n for n in got if n % PARTITIONS == p and n // 1000 == half]
            assert own == sorted(own)


def _datums(block: LogBlock) -> list[bytes]:
    ends = np.cumsum(block.sizes, dtype=np.int64).tolist()
    return [block.data[end - size : end] for end, size in zip(ends, block.sizes.tolist(), strict=True)]


def _positions(block: LogBlock) -> list[tuple[int, int]]:
    return [(block.first_offset + i, n) for i, n in enumerate(numbers_of([block]))]
