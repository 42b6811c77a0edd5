"""The shipped writer and store in random worlds; and the rules broken on purpose, each of which must be seen."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from k2_plugin_memory.owned import Owned
from k2_plugin_memory.store import MemoryStore

from k2core.errors import FencedError
from k2core.keys.window import KeyWindow
from k2core.testing.memory_sink import MemoryIdentities
from k2core.writer.commits import Commits
from k2core.writer.intake import Intake
from k2core.writer.pipeline import WriterPipeline
from k2core.writer.settling import Settling
from tests.unit.writer.protocol import run

logging.getLogger("k2.write.test").setLevel(logging.CRITICAL)

WORLDS = 100
"""Worlds of the default run."""
ENOUGH = 200
"""Worlds within which a broken rule must be seen."""


def test_the_table_is_what_the_log_means() -> None:
    told: Counter[str] = Counter()
    for seed in range(WORLDS):
        try:
            run(seed, told)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    for name in FIRED:
        assert told[name] > 0, f"{name} never happened in {WORLDS} worlds: {told}"


FIRED = (
    "again", "late", "dead", "commits", "fenced", "taken over", "one partition lost", "rolled back", "tried again",
    "landed long after", "landed, reply lost", "not landed, reply lost", "killed at stage", "killed at swap", "killed at reply",
    "killed at settle", "killed at claim", "killed at produce", "failed at settle", "failed at look-up",
    "failed at claim", "failed at produce", "failed at stage", "failed at head",
)  # fmt: skip


def settle_before_commit(patch: pytest.MonkeyPatch) -> None:
    swap = Commits._swap

    def early(self: Commits, staged: Any) -> bool:
        for place, following in self.waiting.next.items():
            self._parts.dedup.settle(place, self._owning.committed[place], following)
        return swap(self, staged)

    patch.setattr(Commits, "_swap", early)


def in_flight_dropped_before_settle(patch: pytest.MonkeyPatch) -> None:
    settle = Settling._settle

    def forgetful(self: Settling, place: Any, first: int, following: int) -> bool:
        if settle(self, place, first, following):
            return True
        self._parts.dedup.abandon(place, first)
        return False

    patch.setattr(Settling, "_settle", forgetful)


def no_mark_at_eviction(patch: pytest.MonkeyPatch) -> None:
    forget = KeyWindow.forget
    patch.setattr(KeyWindow, "forget", lambda self, before: min(-1, forget(self, before)))


def no_marks_at_start(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryIdentities, "marks", lambda self, partition, before: {})


def abandon_left_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryStore, "abandon", lambda self, partition, first: None)


def part_of_a_fenced_commit_kept(patch: pytest.MonkeyPatch) -> None:
    lose = WriterPipeline._lose

    def keep(self: WriterPipeline, error: FencedError) -> None:
        kept = self._commits.waiting
        lose(self, error)
        self._recover()
        kept.next = {place: offset for place, offset in kept.next.items() if place in self.committed}
        self._commits.waiting = kept

    patch.setattr(WriterPipeline, "_lose", keep)


def read_on_after_a_fence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Intake, "reset", lambda self: None)


def dead_letters_left_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Intake, "_bury", lambda self, dead: None)


def refused_after_the_claim(patch: pytest.MonkeyPatch) -> None:
    claim = MemoryStore.claim

    def harsh(self: MemoryStore, batch: Any) -> Any:
        new = claim(self, batch)
        return new & (np.arange(len(new)) % 5 != 4) if len(new) > 4 else new

    patch.setattr(MemoryStore, "claim", harsh)


def unknown_taken_for_landed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Commits, "resolve", lambda self: self._landed() or True)


def window_kept_over_a_rollback(patch: pytest.MonkeyPatch) -> None:
    assign = MemoryStore.assign

    def once(self: MemoryStore, partition: Any, offset: int, table: Any) -> None:
        if partition not in self._owned:
            assign(self, partition, offset, table)

    patch.setattr(MemoryStore, "assign", once)


def copies_within_a_batch_unseen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("k2_plugin_memory.owned._first_copies", lambda keys: np.ones(len(keys), bool))


def settled_ids_dropped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Owned, "_hold", lambda self, *columns: None)


@pytest.mark.parametrize(
    "broken",
    [
        settle_before_commit,
        in_flight_dropped_before_settle,
        no_mark_at_eviction,
        no_marks_at_start,
        abandon_left_out,
        part_of_a_fenced_commit_kept,
        read_on_after_a_fence,
        dead_letters_left_out,
        refused_after_the_claim,
        unknown_taken_for_landed,
        window_kept_over_a_rollback,
        copies_within_a_batch_unseen,
        settled_ids_dropped,
    ],
)
def test_a_broken_rule_is_seen(broken: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch)
    assert any(breaks(seed) for seed in range(ENOUGH)), f"{broken.__name__} went unseen in {ENOUGH} worlds"


def breaks(seed: int) -> bool:
    """Whether the world shows that something is wrong."""
    try:
        run(seed, Counter())
    except AssertionError:
        return True
    return False
