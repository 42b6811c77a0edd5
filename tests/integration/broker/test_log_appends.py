"""What one process may count on: topics and their lineage, offsets, positions, append times, closed times."""

from __future__ import annotations

import logging
import pathlib
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from k2core.broker.sealed import read_pulse, write_pulse
from k2core.broker.settings import EmbeddedSettings
from k2core.builtin import k2_brokers
from k2core.clock import SystemClock
from k2core.component import Context
from k2core.errors import BrokerError, ConfigError, OffsetGoneError, SchemaError, TopicChangedError
from k2core.interfaces.broker import EncodedBatch
from k2core.telemetry.metrics import Metrics
from k2core.testing.clock import ManualClock
from tests.integration.broker.log_world import TOPIC, a_log, a_topic, batch, drain, numbers_of, read_all, spec

SEVERAL = 1_000_000


def test_the_component_makes_a_log_that_another_process_life_reads(tmp_path: pathlib.Path) -> None:
    (component,) = k2_brokers()
    context = Context(clock=SystemClock(), logger=logging.getLogger("k2.test"), metrics=Metrics(), instance="broker")
    settings = EmbeddedSettings(path=tmp_path / "folder" / "log.db")
    made = component.factory(settings, context)
    assert not (tmp_path / "folder").exists(), "a factory does no I/O"
    with made as log:
        log.ensure_topics([spec()])
        assert log.producer().produce([batch(range(8))]) == {(TOPIC, p): 2 for p in range(4)}
        kept = log.topics()[TOPIC]
    with component.factory(settings, context) as log:
        assert log.topics() == {TOPIC: kept}
        assert log.producer().produce([batch(range(8, 10))]) == {(TOPIC, 0): 3, (TOPIC, 1): 3}
        assert log.ends([TOPIC]) == {(TOPIC, 0): 3, (TOPIC, 1): 3, (TOPIC, 2): 2, (TOPIC, 3): 2}
        assert log.starts([TOPIC]) == {(TOPIC, p): 0 for p in range(4)}


def test_a_lineage_only_grows_and_partitions_stay(tmp_path: pathlib.Path) -> None:
    with a_log(tmp_path) as log:
        log.ensure_topics([spec(schemas=("1", "2"))])
        first = log.topics()[TOPIC]
        log.ensure_topics([spec(schemas=("1", "2")), spec("market.crypto.quotes.x")])
        log.ensure_topics([spec(schemas=("1", "2", "3"))])
        assert log.topics()[TOPIC] == first
        for other in (("1",), ("1", "x", "3"), ("1", "2", "x", "4")):
            with pytest.raises(SchemaError, match="which are not the first of the"):
                log.ensure_topics([spec(schemas=other)])
        with pytest.raises(TopicChangedError, match="has 4 partitions in the log, 8 are asked for"):
            log.ensure_topics([spec("new"), spec(partitions=8, schemas=("1", "2", "3"))])
        assert sorted(log.topics()) == ["market.crypto.quotes.x", TOPIC], "all topics or none"


def test_a_version_that_another_process_registered_is_known_at_once(tmp_path: pathlib.Path) -> None:
    with a_topic(tmp_path) as log, a_log(tmp_path) as other:
        producer = log.producer()
        producer.produce([batch([0])])
        newer = EncodedBatch(TOPIC, 2, np.array([1], np.int32), np.array([3], np.uint32), b"abc")
        with pytest.raises(SchemaError, match="has schema versions 1 to 1, not 2"):
            producer.produce([newer])
        other.ensure_topics([spec(schemas=('"one"', '"two"'))])
        producer.produce([newer])
        assert [block.version for block in drain(log.consumer([TOPIC]))] == [1, 2]


def test_seek_finds_every_place_and_cuts_within_a_block(tmp_path: pathlib.Path) -> None:
    with a_topic(tmp_path) as log:
        producer = log.producer()
        for start in range(0, 400, 40):
            producer.produce([batch(range(start, start + 40))])
        consumer = log.consumer([TOPIC])
        for at in ([0, 0, 0, 0], [5, 10, 99, 100], [100, 100, 100, 41], [100] * 4, [7, 93, 12, 55]):
            consumer.seek({**{(TOPIC, p): offset for p, offset in enumerate(at)}, ("another", 3): 17})
            blocks = drain(consumer, 1)
            want = [n for n in range(400) if n // 4 >= at[n % 4]]
            assert sorted(numbers_of(blocks)) == want
            assert dict(consumer.positions()) == {(TOPIC, p): 100 for p in range(4)}
            firsts = {p: [b.first_offset for b in blocks if b.partition == p] for p in range(4)}
            assert all(found[0] == at[p] for p, found in firsts.items() if found)
        for offset in (101, 5 << 40):
            consumer.seek({(TOPIC, 2): offset})
            with pytest.raises(OffsetGoneError, match=f"partition 2 ends at 100, offset {offset} was never given out"):
                consumer.poll(10, 0)


def test_an_append_has_a_limit(tmp_path: pathlib.Path) -> None:
    with a_topic(tmp_path, append_bytes=1 << 16) as log:
        with pytest.raises(BrokerError, match="more than append_bytes = 65536: append less"):
            log.producer().produce([batch(range(20), size=5000)])
        assert read_all(log) == []


def test_a_poll_takes_whole_blocks_and_turns_between_topics(tmp_path: pathlib.Path) -> None:
    with a_topic(tmp_path) as log:
        quotes = "market.crypto.quotes.x"
        log.ensure_topics([spec(quotes)])
        producer = log.producer()
        for start in range(0, 80, 20):
            producer.produce([batch(range(start, start + 20)), batch(range(start, start + 20), topic=quotes)])
        consumer = log.consumer([TOPIC, quotes])
        polls = [consumer.poll(1, 0) for _ in range(4)]
        assert [{block.topic for block in poll} for poll in polls] == [{TOPIC}, {quotes}, {TOPIC}, {quotes}]
        assert all(len(poll) == 1 and len(numbers_of(poll)) == 5 for poll in polls)
        assert [block.partition for poll in polls for block in poll] == [0, 0, 1, 1]
        assert [len(numbers_of(poll)) for poll in (consumer.poll(6, 0), consumer.poll(11, 0))] == [10, 15]
        assert len(numbers_of(drain(consumer, SEVERAL))) == 160 - 20 - 25
        assert dict(consumer.positions()) == {(topic, p): 20 for topic in (TOPIC, quotes) for p in range(4)}


def test_append_times_rise_also_when_the_clock_falls(tmp_path: pathlib.Path) -> None:
    clock = ManualClock()
    with a_topic(tmp_path, clock) as log:
        producer = log.producer()
        producer.produce([batch([0])])
        clock.set(clock.now_ns() - 3_600_000_000_000)
        producer.produce([batch([4])])
        clock.set(clock.now_ns() + 7_200_000_000_000)
        producer.produce([batch([8])])
        times = [block.timestamp_us for block in read_all(log)]
        assert times == [times[0], times[0] + 1, clock.now_us()]


def test_a_time_is_closed_for_good_also_on_a_quiet_log(tmp_path: pathlib.Path) -> None:
    clock = ManualClock()
    with a_topic(tmp_path, clock) as log:
        first = log.closed_until([TOPIC])
        assert first == clock.now_us() - 1000
        clock.advance(0.004)
        assert log.closed_until([TOPIC]) == first, "a write a query would cost too much"
        clock.advance(0.003)
        closed = log.closed_until([TOPIC])
        assert closed == clock.now_us() - 1000
        clock.set(clock.now_ns() - 60_000_000_000)
        log.producer().produce([batch([0])])
        assert read_all(log)[0].timestamp_us == closed + 1
        assert log.closed_until([TOPIC]) == closed + 1, "the next append comes later"
    with a_log(tmp_path, clock) as log:
        assert log.closed_until([TOPIC]) == closed + 1


def test_closing_a_time_never_takes_back_what_another_closed_meanwhile(tmp_path: pathlib.Path) -> None:
    clock = ManualClock()
    with a_topic(tmp_path, clock) as log, a_topic(tmp_path, clock) as other, ThreadPoolExecutor() as pool:
        later = clock.now_us() + 50_000_000
        with other._file.writing(other._writes):
            waiting = pool.submit(log.closed_until, [TOPIC])
            time.sleep(0.05)  # it has looked at the clock, and waits for the lock
            write_pulse(other._writes, read_pulse(other._writes).after(later))
        assert waiting.result(120) == later
        log.producer().produce([batch([0])])
        assert read_all(log)[0].timestamp_us == later + 1


def test_refusals_name_what_to_do(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"\[broker\] path = .*cannot write there .*choose another folder"):
        a_log(tmp_path / "file").__enter__()
    with a_topic(tmp_path) as log:
        for ask in (lambda: log.consumer(["nowhere"]), lambda: log.register("lake", ["nowhere"])):
            with pytest.raises(BrokerError, match="no topic nowhere in this log; call ensure_topics first"):
                ask()
        with pytest.raises(BrokerError, match="no consumer lake is registered; call register first"):
            log.release("lake", {(TOPIC, 0): 1})
    with pytest.raises(BrokerError, match="was closed"):
        log.topics()
