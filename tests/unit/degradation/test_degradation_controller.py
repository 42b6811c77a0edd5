"""The controller as a function: what raises a level, what ends it, and what must never raise one."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k2core.degradation import Change, Controller, DegradationSettings, Level

STEP_S = 0.5
FREE = 0.1


def made(**given: object) -> Controller:
    return Controller(DegradationSettings.model_validate(given))


def run(
    controller: Controller, lags: Iterator[float] | list[float], memory: float = FREE, start: float = 0.0
) -> list[Change]:
    """Observe one lag each half second; the changes."""
    found = (controller.observe(start + k * STEP_S, int(lag), memory) for k, lag in enumerate(lags))
    return [change for change in found if change is not None]


def drained(high: float, a_second: float) -> list[float]:
    steps = int(high / (a_second * STEP_S)) + 2
    return [max(0.0, high - a_second * STEP_S * k) for k in range(steps)]


def test_a_lag_that_stays_makes_each_level_in_order() -> None:
    controller = made()
    changes = [
        c for lag in (150_000, 600_000, 2e6, 6e6) for c in run(controller, [lag] * 40, start=controller.lag * 1.0)
    ]
    assert [c.level.name for c in changes] == ["SOFT", "GRACEFUL", "AGGRESSIVE", "CIRCUIT_BREAK"]
    assert {c.cause for c in changes} == {"lag"}


@given(
    high=st.floats(1e5, 1e9), a_second=st.floats(3e3, 3e6), noise=st.floats(0, 0.2), seed=st.integers(0, 1 << 30),
    period=st.integers(1, 12),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_a_catch_up_of_any_length_sheds_nothing(
    high: float, a_second: float, noise: float, seed: int, period: int
) -> None:
    """It falls from the first second on, with a saw's teeth of commits and noise on it that half a window outweighs."""
    dice, half = random.Random(seed), DegradationSettings.model_validate({}).trend_s / 2
    tooth = noise * a_second * half
    lags = [
        lag + (k % period) / period * tooth / 4 + dice.uniform(0, tooth / 4)
        for k, lag in enumerate(drained(high, a_second)[:2000])
    ]
    controller = made()
    assert run(controller, lags) == []


@given(peak=st.floats(1e5, 2e7), up_s=st.floats(0.5, 10), down_s=st.floats(1, 600))
@settings(max_examples=100, deadline=None)
def test_a_burst_that_is_worked_off_sheds_nothing(peak: float, up_s: float, down_s: float) -> None:
    rise = [peak * k * STEP_S / up_s for k in range(int(up_s / STEP_S))]
    controller = made()
    assert run(controller, [*rise, *drained(peak, peak / down_s)[:3000]]) == []


@given(growth=st.floats(0, 1e6), start=st.floats(1e5, 1e6), noise=st.floats(0, 0.05), seed=st.integers(0, 1 << 30))
@settings(max_examples=100, deadline=None)
def test_a_load_that_cannot_be_taken_is_seen_within_a_minute(
    growth: float, start: float, noise: float, seed: int
) -> None:
    dice = random.Random(seed)
    controller = made()
    run(controller, [(start + growth * k * STEP_S) * (1 + dice.uniform(0, noise)) for k in range(600)])
    assert controller.level >= Level.SOFT


@given(
    lags=st.lists(st.floats(0, 2e7), max_size=300), shares=st.lists(st.floats(0, 1.1), max_size=300),
    quiet=st.floats(0, 4e4),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_whatever_happened_it_always_comes_back_by_itself(lags: list[float], shares: list[float], quiet: float) -> None:
    controller, now = made(), 0.0
    for lag, share in zip(lags, shares, strict=False):
        controller.observe(now, int(lag), share)
        now += STEP_S
    seen = set()
    for _ in range(200):
        controller.observe(now, int(quiet), FREE)
        seen.add(controller.level)
        now += STEP_S
    assert controller.level == Level.NORMAL
    assert controller.permit(now).poll


@given(data=st.lists(st.tuples(st.floats(0, 2e7), st.floats(0, 1.1)), max_size=300))
@settings(max_examples=150, deadline=None)
def test_a_level_never_falls_before_its_time(data: list[tuple[float, float]]) -> None:
    """It takes `down_s` below the release of whatever holds it."""
    controller, now, down_s = made(down_s=3), 0.0, 3.0
    above = {"lag": -1e9, "memory": -1e9}
    for lag, share in data:
        before = controller.level
        triggers = (
            DegradationSettings.model_validate({}).triggers("lag"),
            DegradationSettings.model_validate({}).triggers("memory"),
        )
        if before and lag >= 0.5 * triggers[0][before - 1]:
            above["lag"] = now
        if before and share >= 0.8 * triggers[1][before - 1]:
            above["memory"] = now
        change = controller.observe(now, int(lag), share)
        if change is not None and change.level < change.previous:
            assert now - above[change.cause] >= down_s - STEP_S
        now += STEP_S


def test_circuit_break_by_lag_pauses_then_drains_in_bounded_batches() -> None:
    controller = made(trend_s=1, pause_s=30, half_open_records=1234)
    run(controller, [9e6] * 10)
    assert controller.level == Level.CIRCUIT_BREAK
    assert not controller.permit(10.0).poll
    permit = controller.permit(40.0)
    assert (permit.poll, permit.records, permit.level.kept_tier, permit.enrich) == (True, 1234, 1, False)
    assert controller.permit(40.1).poll, "by lag it goes on"


def test_circuit_break_by_memory_stops_polling_but_for_a_small_batch_each_pause() -> None:
    controller = made(pause_s=30)
    changes = run(controller, [0.0], memory=0.97)
    assert [(c.level.name, c.cause) for c in changes] == [("CIRCUIT_BREAK", "memory")]
    polls = [now for now in range(1, 100) if controller.permit(float(now)).poll]
    assert polls == [30, 60, 90]


@pytest.mark.parametrize(
    ("share", "level"), [(0.69, 0), (0.70, 1), (0.80, 2), (0.90, 3), (0.95, 4)], ids=lambda value: str(value)
)
def test_memory_makes_a_level_at_once(share: float, level: int) -> None:
    controller = made()
    run(controller, [0.0], memory=share)
    assert controller.level == level
    assert controller.permit(0.0).hold == (1.0 if level == 0 else 0.25), "backpressure comes with the first level"


def test_a_lag_that_grew_while_reading_was_stalled_says_nothing() -> None:
    controller = made()
    run(controller, [1e6 * k for k in range(20)])
    controller.stalled()
    assert run(controller, drained(2e7, 4e5), start=10.0) == []


def test_permits_of_each_level() -> None:
    assert [level.kept_tier for level in Level] == [3, 3, 2, 1, 1]
    assert [level.sheds for level in Level] == [False, False, True, True, True]


@pytest.mark.parametrize("wrong", [{"soft_lag": 9e9}, {"aggressive_memory": 0.5}, {"tiers": {"A": 4}}])
def test_settings_that_contradict_themselves_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        DegradationSettings.model_validate(wrong)
