"""MUSTs of a log about what it keeps: over a restart, under `kill -9`, beside other processes, against retention."""

from __future__ import annotations

from pathlib import Path

import pytest

from k2core.clock import SystemClock
from k2core.errors import BrokerError, LogCorruptError, OffsetGoneError
from k2core.interfaces.broker import Broker
from k2core.testing.clock import ManualClock
from k2core.testing.conformance.broker_world import (
    PARTITIONS,
    BrokerFacts,
    drain,
    numbered,
    numbers_of,
    on,
    read_all,
)
from k2core.testing.conformance.facts import needs


class KeepingTests(BrokerFacts):
    """Restart, damage, other processes, retention."""

    @needs("durable")
    def test_B30_a_log_is_the_same_after_a_restart(self, tmp_path: Path) -> None:
        """Topics with their ids, records, ends; and appending goes on where it stood."""
        topic = self.topic(tmp_path)
        with self.opened(tmp_path) as log:
            log.producer().produce([numbered(topic, range(10))])
            before = log.topics()[topic], log.ends([topic])
        with self.opened(tmp_path) as log:
            assert (log.topics()[topic], log.ends([topic])) == before
            after = log.producer().produce([numbered(topic, range(12, 16))])
            assert self.holes or dict(after) == {place: end + 1 for place, end in before[1].items()}
            assert sorted(numbers_of(read_all(log, topic))) == [*range(10), *range(12, 16)]

    @needs("checks")
    def test_B31_damaged_records_are_an_error_and_never_an_answer(self, tmp_path: Path) -> None:
        """When it is opened or when it is read: a typed error."""
        topic = self.topic(tmp_path)
        with self.opened(tmp_path) as log:
            for start in range(0, 200, 20):
                log.producer().produce([numbered(topic, range(start, start + 20), size=100)])
        self.damage(tmp_path)
        with pytest.raises(LogCorruptError), self.opened(tmp_path) as log:
            read_all(log, topic)

    @needs("processes")
    def test_B40_processes_append_at_once(self, tmp_path: Path) -> None:
        """Every record once, each producer's order kept on every partition, offsets used once."""
        topic = self.topic(tmp_path)
        with self.opened(tmp_path) as log, self.appending(tmp_path, 0, 15) as one, self.appending(tmp_path, 1000, 15) as two:  # fmt: skip
            log.producer().produce([numbered(topic, range(2000, 2020))])
            promised = one.finish() | two.finish() | set(range(2000, 2020))
            blocks = read_all(log, topic, timeout=0.5)
        got = numbers_of(blocks)
        assert sorted(got) == sorted(promised)
        taken = [(b.partition, o) for b in blocks for o in range(b.first_offset, b.next_offset)]
        assert len(taken) == len(set(taken)), "an offset was given out twice"
        for p in range(PARTITIONS):
            for third in range(3):
                own = [n for n in got if n % PARTITIONS == p and n // 1000 == third]
                assert own == sorted(own), f"records of one producer lie out of order on partition {p}"

    @needs("processes")
    def test_B41_a_consumer_sees_what_other_processes_append(self, tmp_path: Path) -> None:
        """One that was made, and has looked, before they began."""
        topic = self.topic(tmp_path)
        with self.opened(tmp_path) as log:
            consumer = log.consumer([topic])
            assert not consumer.poll(10, 0)
            with self.appending(tmp_path, 0) as other:
                other.hear(1)
                got: list[int] = []
                while len(got) < 20 and (blocks := consumer.poll(1000, self.wait_s)):
                    got += numbers_of(blocks)
                assert set(range(20)) <= set(got)
                assert set(log.ends([topic])) == set(on(topic, 0))

    @needs("processes", "durable")
    def test_B42_what_was_acknowledged_survives_kill_9(self, tmp_path: Path) -> None:
        """Killed while it appends, twice; nothing acknowledged is missing, nothing is there twice."""
        topic, promised = self.topic(tmp_path), set[int]()
        for turn in range(2):
            with self.appending(tmp_path, turn * 100_000) as one:
                one.hear(2 + turn)
                promised |= one.kill()
        with self.opened(tmp_path) as log:
            got = numbers_of(read_all(log, topic, timeout=0.2))
        assert len(got) == len(set(got))
        assert promised <= set(got), f"{len(promised - set(got))} acknowledged records are gone"

    @needs("retention_s")
    def test_B50_old_records_go_and_whoever_still_wants_them_is_told(self, tmp_path: Path) -> None:
        """A typed error, and reading goes on from `starts`; ends never move back."""
        topic = self.topic(tmp_path)
        with self._expiring(tmp_path) as (log, clock):
            log.producer().produce([numbered(topic, range(8))])
            ends = log.ends([topic])
            late = log.consumer([topic])
            self.expire(log, clock, topic)
            starts = log.starts([topic])
            assert starts == ends, "everything old was released by everybody: nobody registered"
            with pytest.raises(OffsetGoneError):
                late.poll(10, 0.2)
            late.seek(starts)
            assert sorted(numbers_of(drain(late))) == list(range(10_000, 10_004))
            assert all(end > ends[place] for place, end in log.ends([topic]).items())

    @needs("retention_s")
    def test_B51_what_a_registered_consumer_has_not_released_stays(self, tmp_path: Path) -> None:
        """However old; and what it released goes, in time."""
        topic = self.topic(tmp_path)
        with self._expiring(tmp_path) as (log, clock):
            log.register("lake", [topic])
            for start in (0, 8):
                log.producer().produce([numbered(topic, range(start, start + 8))])
            self.expire(log, clock, topic)
            assert set(range(16)) <= set(numbers_of(read_all(log, topic)))
            log.release("lake", on(topic, 2))
            self.expire(log, clock, topic)
            assert log.starts([topic]) == on(topic, 2)
            assert set(range(8, 16)) <= set(numbers_of(read_all(log, topic)))

    @needs("retention_s")
    def test_B52_the_slowest_of_several_consumers_counts(self, tmp_path: Path) -> None:
        """One has released all, the other nothing."""
        topic = self.topic(tmp_path)
        with self._expiring(tmp_path) as (log, clock):
            log.register("lake", [topic])
            log.register("other", [topic])
            log.producer().produce([numbered(topic, range(8))])
            log.release("lake", log.ends([topic]))
            self.expire(log, clock, topic)
            assert log.starts([topic]) == on(topic, 0)

    @needs("retention_s")
    def test_B53_a_release_is_never_taken_back(self, tmp_path: Path) -> None:
        """A late or repeated release with lower offsets changes nothing."""
        topic = self.topic(tmp_path)
        with self._expiring(tmp_path) as (log, clock):
            log.register("lake", [topic])
            log.producer().produce([numbered(topic, range(8))])
            log.release("lake", on(topic, 2))
            log.release("lake", on(topic, 1))
            self.expire(log, clock, topic)
            assert log.starts([topic]) == on(topic, 2)

    @needs("retention_s")
    def test_B54_registering_again_adds_topics_and_keeps_releases(self, tmp_path: Path) -> None:
        """As a writer does at every start."""
        topic = self.topic(tmp_path)
        with self._expiring(tmp_path) as (log, clock):
            log.register("lake", [topic])
            log.producer().produce([numbered(topic, range(8))])
            log.release("lake", on(topic, 2))
            log.register("lake", [topic])
            self.expire(log, clock, topic)
            assert log.starts([topic]) == on(topic, 2)

    @needs("retention_s")
    def test_B55_a_consumer_that_was_forgotten_holds_nothing_back(self, tmp_path: Path) -> None:
        """Registered consumers can be listed, and unregistered; one that is unknown cannot."""
        topic = self.topic(tmp_path)
        with self._expiring(tmp_path) as (log, clock):
            log.register("gone", [topic])
            log.producer().produce([numbered(topic, range(8))])
            assert set(log.consumers()) == {"gone"}
            log.unregister("gone")
            assert not log.consumers()
            with pytest.raises(BrokerError):
                log.unregister("gone")
            self.expire(log, clock, topic)
            assert log.starts([topic]) == on(topic, 2)

    def _expiring(self, place: Path) -> _Expiring:
        return _Expiring(self, place)


class _Expiring:
    """The log of a place with a clock that the test moves."""

    def __init__(self, suite: BrokerFacts, place: Path) -> None:
        self._clock = ManualClock(SystemClock().now_ns())
        self._opened = suite.opened(place, self._clock)

    def __enter__(self) -> tuple[Broker, ManualClock]:
        return self._opened.__enter__(), self._clock

    def __exit__(self, *raised: object) -> None:
        self._opened.__exit__(*raised)  # type: ignore[arg-type]
