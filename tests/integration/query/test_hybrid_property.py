"""Whatever is interleaved (append, late, twice, dead, commit, compact, expire, rollback, restart, shortening), an
answer is the first copies below H; and every rule that carries this is broken on purpose and seen to fail."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from k2core.query import asof, follower, hole, hot, keyorder, pin, window
from k2core.query.held import NEVER

PLENTY = 25
SHOWN_BY = {"break_rollback_unseen": 33}
"""Of broken rules that few worlds show, one that does; it is played first. Where it shows it no longer, all are."""


def play_worlds(worlds, seeds):
    return sum((worlds(seed) for seed in seeds), Counter())


def test_answers_mean_what_they_say(worlds):
    happened = play_worlds(worlds, range(PLENTY))
    for event in ("answers", "holes", "cold", "reproducible", "rebuilt"):
        assert happened[event] > PLENTY, f"too little happened: {happened}"


@pytest.mark.slow
def test_answers_mean_what_they_say_in_many_worlds(worlds):
    happened = play_worlds(worlds, range(10_000, 10_000 + 20 * PLENTY))
    assert happened["answers"] > 200 * PLENTY


def test_any_interleaving_gives_exact_answers(busy_world):
    happened: Counter[str] = Counter()

    class Interleaving(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.world = busy_world()

        @rule(seed=st.integers(0, 1 << 16), move=st.sampled_from(["append", "commit", "advance", "time", "trouble"]))
        def change(self, seed, move):
            getattr(self.world, f"some_{move}")(random.Random(seed))

        @precondition(lambda self: self.world.written)
        @rule(seed=st.integers(0, 1 << 16), move=st.sampled_from(["query", "page", "as_of"]))
        def ask(self, seed, move):
            getattr(self.world, f"some_{move}")(random.Random(seed))

        def teardown(self):
            happened.update(self.world.happened)

    run_state_machine_as_test(
        Interleaving,
        settings=settings(
            max_examples=50, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    assert happened["answers"] > 100


def break_window_warmed_too_briefly(monkeypatch):
    monkeypatch.setattr(window.Window, "warm", lambda self, partition, stored, now_us, ledger: None)


def break_hole_deduplicated_against_itself(monkeypatch):
    first = window.Window._first

    def at_any_position(self, partition, group):
        held = first(self, partition, group)
        return np.where(held == NEVER, held, -1) if self.reading_hole else held

    judge = follower.Follower.judge

    def reading(self, identities, *, timeout):
        self._window.reading_hole = True
        try:
            return judge(self, identities, timeout=timeout)
        finally:
            self._window.reading_hole = False

    monkeypatch.setattr(window.Window, "reading_hole", False, raising=False)
    monkeypatch.setattr(window.Window, "_first", at_any_position)
    monkeypatch.setattr(follower.Follower, "judge", reading)


def break_forgetting_beyond_the_snapshot(monkeypatch):
    forget = window.Window.forget
    monkeypatch.setattr(
        window.Window, "forget", lambda self, now_us, below: forget(self, now_us, dict.fromkeys(below, 1 << 60))
    )


def break_marks(monkeypatch):
    monkeypatch.setattr(window.Window, "_below_mark", lambda self, batch, group: False)


def break_rollback_unseen(monkeypatch):
    monkeypatch.setattr(pin, "_built_on", lambda view, snapshot, source: True)
    monkeypatch.setattr(follower.Follower, "alive", lambda self: True)


def break_cursor_without_total_order(monkeypatch):
    monkeypatch.setattr(
        hot, "_beyond", lambda lane, piece, wanted, order: hot.longs(piece.rows, order) < wanted.after[0]
        if wanted.descending else hot.longs(piece.rows, order) > wanted.after[0],
    )  # fmt: skip


def break_order_of_ties(monkeypatch):
    monkeypatch.setattr(
        keyorder, "key_columns", lambda rows, order: (-keyorder.longs(rows, "log_offset"), keyorder.longs(rows, order))
    )


def break_as_of_at_an_open_time(monkeypatch):
    monkeypatch.setattr(asof, "settle", lambda *_: True)
    monkeypatch.setattr("k2core.query.service.settle", lambda *_: True)


def break_holes_left_out(monkeypatch):
    monkeypatch.setattr("k2core.query.halves.fill", lambda *_: hole.Filled())


def break_snapshot_before_tail_ends(monkeypatch):
    """Take S before H, and believe that the tail begins at or before B."""
    right, split = pin.pin, pin.split

    def wrong(tail, source, ends, wait_s, deadline):
        early = source.early.pop(0) if getattr(source, "early", None) else source.newest()
        pinned = right(tail, source, ends, wait_s, deadline)
        source.early = [source.newest()]
        return pin.Pinned(pinned.ends, pinned.view, early)

    def no_holes(pinned, *, prefer_hot):
        parts = split(pinned, prefer_hot=False)
        return pin.Split(parts.cold, parts.hot, {})

    monkeypatch.setattr("k2core.query.service.pin", wrong)
    monkeypatch.setattr("k2core.query.halves.split", no_holes)


@pytest.mark.parametrize(
    "broken", [rule for name, rule in sorted(globals().items()) if name.startswith("break_")], ids=lambda b: b.__name__
)
def test_a_broken_rule_is_found(worlds, monkeypatch, broken):
    broken(monkeypatch)
    first = SHOWN_BY.get(broken.__name__, 0)
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        play_worlds(worlds, [first, *range(4 * PLENTY)])
