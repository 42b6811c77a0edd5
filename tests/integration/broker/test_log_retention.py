"""What the log forgets, and what it never forgets, on a clock that the test moves."""

from __future__ import annotations

import pathlib
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from k2core.errors import OffsetGoneError
from k2core.telemetry.metrics import Metrics
from k2core.testing.clock import ManualClock
from tests.integration.broker.log_world import TOPIC, a_topic, batch, drain, numbers_of

HOUR = 3600.0


def test_age_alone_removes_what_nobody_registered_for(tmp_path: pathlib.Path) -> None:
    clock = ManualClock()
    with a_topic(tmp_path, clock, retention_hours=2, sweep_s=0) as log:
        producer, consumer = log.producer(), log.consumer([TOPIC])
        producer.produce([batch(range(8))])
        consumer.poll(100, 0)
        clock.advance(1.5 * HOUR)
        producer.produce([batch(range(8, 12))])
        clock.advance(1.5 * HOUR)
        producer.produce([batch([12])])
        assert log.starts([TOPIC]) == {(TOPIC, p): 2 for p in range(4)}
        assert sorted(numbers_of(drain(consumer))) == [8, 9, 10, 11, 12], "was beyond what went"
        fresh = log.consumer([TOPIC])
        with pytest.raises(OffsetGoneError, match=r"removed .* partition 0 offset 0; what is held starts at 2"):
            fresh.poll(10, 0)
        fresh.seek(log.starts([TOPIC]))
        assert sorted(numbers_of(drain(fresh))) == [8, 9, 10, 11, 12]
        clock.advance(9 * HOUR)
        producer.produce([batch([16])])
        assert log.starts([TOPIC]) == {(TOPIC, 0): 4, (TOPIC, 1): 3, (TOPIC, 2): 3, (TOPIC, 3): 3}
        assert log.ends([TOPIC])[TOPIC, 1] == 3, "ends stay when everything is gone"


def test_what_is_removed_is_counted(tmp_path: pathlib.Path) -> None:
    clock, metrics = ManualClock(), Metrics()
    with a_topic(tmp_path, clock, metrics=metrics, retention_hours=2, sweep_s=0) as log:
        producer = log.producer()
        producer.produce([batch(range(8))])
        clock.advance(3 * HOUR)
        producer.produce([batch(range(8, 12))])
    assert metrics.value("k2_log_removed_segments_total") == 1
    metrics.refresh()
    assert metrics.value("k2_log_size_bytes") > 0


def test_what_a_registered_consumer_has_not_released_stays_and_an_hour_more(tmp_path: pathlib.Path) -> None:
    clock = ManualClock()
    with a_topic(tmp_path, clock, retention_hours=2, slack_hours=1, sweep_s=0) as log:
        producer = log.producer()
        log.register("lake", [TOPIC])
        log.register("lake", [TOPIC])
        log.register("other", [TOPIC])
        producer.produce([batch(range(8))])
        clock.advance(90 * HOUR)
        log.release("lake", {(TOPIC, p): 2 for p in range(4)})
        producer.produce([batch([8])])
        clock.advance(2 * HOUR)
        producer.produce([batch([12])])
        assert log.starts([TOPIC])[TOPIC, 0] == 0, "the other consumer has released nothing"
        log.release("other", {(TOPIC, p): 2 for p in range(4)} | {("gone", 1): 7})
        log.release("other", {(TOPIC, p): 1 for p in range(4)})  # never goes down
        clock.advance(0.9 * HOUR)
        producer.produce([batch([16])])
        assert log.starts([TOPIC])[TOPIC, 0] == 0, "released less than the slack ago"
        clock.advance(0.2 * HOUR)
        producer.produce([batch([20])])
        assert log.starts([TOPIC]) == {(TOPIC, p): 2 for p in range(4)}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 12)),
        st.tuples(st.just("advance"), st.integers(1, 200)),
        st.tuples(st.just("release"), st.integers(0, 3)),
        st.tuples(st.just("reopen"), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.sampled_from([0.0, 0.5, 1.0]))
def test_retention_follows_its_rules_whatever_the_order(steps: list[tuple[str, int]], slack_hours: float) -> None:
    """Held is everything young; everything not released by both; everything released less than the slack ago."""
    clock, number = ManualClock(), 0
    appended: list[tuple[int, int]] = []  # number, when
    released: dict[str, list[tuple[int, int]]] = {"a": [(0, 0)], "b": [(0, 0)]}  # when, below which number
    with tempfile.TemporaryDirectory() as folder:

        def opened() -> object:
            return a_topic(pathlib.Path(folder), clock, retention_hours=2, slack_hours=slack_hours, sweep_s=0)

        log = opened().__enter__()  # type: ignore[attr-defined]
        for name in released:
            log.register(name, [TOPIC])
        for what, size in steps:
            if what == "advance":
                clock.advance(size * 60.0)
            elif what == "release":
                name = "ab"[size % 2]
                below = number if size < 2 else number // 8 * 4
                log.release(name, {(TOPIC, p): (below - p + 3) // 4 for p in range(4)})
                released[name].append((clock.now_us(), max(below, released[name][-1][1])))
            elif what == "reopen":
                log.close()
                log = opened().__enter__()  # type: ignore[attr-defined]
            else:
                log.producer().produce([batch(range(number, number + size))])
                appended += [(n, clock.now_us()) for n in range(number, number + size)]
                number += size
        now, slack = clock.now_us(), int(slack_hours * 3_600_000_000)
        free = min(max(n for at, n in marks if at <= now - slack) for marks in released.values())
        consumer = log.consumer([TOPIC])
        consumer.seek(log.starts([TOPIC]))
        held = set(numbers_of(drain(consumer)))
        must = {n for n, at in appended if n >= free or at > now - 2 * 3_600_000_000}
        assert must <= held
        assert held <= {n for n, _ in appended}
        log.close()


def test_old_and_released_records_do_go(tmp_path: pathlib.Path) -> None:
    clock = ManualClock()
    with a_topic(tmp_path, clock, retention_hours=1, slack_hours=0.5, sweep_segments=3) as log:
        producer = log.producer()
        log.register("lake", [TOPIC])
        for number in range(0, 80, 4):
            producer.produce([batch(range(number, number + 4))])
            log.release("lake", log.ends([TOPIC]))
        clock.advance(2 * HOUR)
        held = []
        for number in range(80, 120, 4):
            producer.produce([batch(range(number, number + 4))])
            held.append(log.starts([TOPIC])[TOPIC, 0])
        assert held == [3, 6, 9, 12, 15, 18, 20, 20, 20, 20], "a bounded number at once, until all are gone"
        consumer = log.consumer([TOPIC])
        consumer.seek(log.starts([TOPIC]))
        assert sorted(numbers_of(drain(consumer))) == list(range(80, 120))


def test_a_consumer_that_releases_all_the_time_lets_records_go(tmp_path: pathlib.Path) -> None:
    clock = ManualClock()
    with a_topic(tmp_path, clock, retention_hours=0.5, slack_hours=1) as log:
        producer = log.producer()
        log.register("lake", [TOPIC])
        for minute in range(240):
            producer.produce([batch(range(minute * 4, minute * 4 + 4))])
            log.release("lake", log.ends([TOPIC]))
            clock.advance(60)
        start = log.starts([TOPIC])[TOPIC, 0]
        assert 160 <= start <= 180, "released an hour ago, and up to an eighth of the slack"
