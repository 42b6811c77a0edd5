"""The dedup suite lets a good store pass, and each broken one fails the one test that is meant for it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from k2core.clock import Clock
from k2core.interfaces.dedup import DedupStore
from k2core.testing.conformance.dedup_store import DedupStoreSuite
from tests.contract import dedup_broken, dedup_broken_owners
from tests.contract.dedup_model import PLACES, ModelStore
from tests.contract.suite_runs import check_noticed, standard_tests

BROKEN = {**dedup_broken.BROKEN, **dedup_broken_owners.BROKEN}


class TestModelStore(DedupStoreSuite):
    """The model itself."""

    durable = True
    shared = True
    made: type[ModelStore] = ModelStore

    def open(self, place: Path, clock: Clock) -> DedupStore:
        return self.made(place, clock)

    def save(self, place: Path) -> object:
        return copy.deepcopy(PLACES[place])

    def restore(self, place: Path, dump: object) -> None:
        PLACES[place] = dump  # type: ignore[assignment]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda store: store.__name__)
def test_a_broken_store_fails_the_test_that_is_meant_for_it(broken: type[ModelStore], tmp_path: Path) -> None:
    suite = type("Broken", (TestModelStore,), {"made": broken})
    check_noticed(suite, BROKEN[broken], tmp_path)


def test_every_must_has_a_store_that_breaks_it() -> None:
    assert {name.split("_")[1] for name in standard_tests(TestModelStore)} == set(BROKEN.values())
