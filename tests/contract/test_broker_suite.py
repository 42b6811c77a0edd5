"""The broker suite lets a good log pass, and each broken one fails the one test that is meant for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from k2core.clock import Clock
from k2core.interfaces.broker import Broker
from k2core.testing.conformance.broker import BrokerSuite
from k2core.testing.memory_log import MemoryLog
from tests.contract import log_broken, log_broken_keeping, log_broken_sharing
from tests.contract.log_broken_keeping import MAIN
from tests.contract.log_model import FileLog
from tests.contract.suite_runs import check_noticed, standard_tests

BROKEN = {**log_broken.BROKEN, **log_broken_keeping.BROKEN, **log_broken_sharing.BROKEN}
BESIDE = ("B40", "B41", "B42")
"""Tests with other processes: slow to start, so what breaks elsewhere runs without them."""


class TestFileLog(BrokerSuite):
    """The model with everything; which class is opened stands in the environment, for the other processes too."""

    durable = processes = checks = shares = True
    retention_s, silent_s = 3600, 3.0

    def open(self, place: Path, clock: Clock) -> Broker:
        return named(os.environ.get("K2_CONTRACT_LOG", "FileLog"))(place, clock)

    def damage(self, place: Path) -> None:
        text = bytearray((place / "log").read_bytes())
        at = text.rfind(bytes([42]) * 90)
        text[at] ^= 1
        (place / "log").write_bytes(text)


class InOneProcess(TestFileLog):
    processes = False
    wait_s = 3.0


class TestMemoryLog(BrokerSuite):
    """The model of the rest of k2's tests."""

    shares = True
    retention_s, silent_s = 3600, 3.0

    def open(self, place: Path, clock: Clock) -> Broker:
        return MemoryLog(clock, retention_s=3600, number=hash(place), session_s=3)


def named(name: str) -> Any:
    return next(
        (found[name] for m in (log_broken, log_broken_keeping, log_broken_sharing) if name in (found := vars(m))),
        FileLog,
    )


@pytest.mark.parametrize("broken", BROKEN, ids=lambda log: log.__name__)
def test_a_broken_log_fails_the_test_that_is_meant_for_it(
    broken: type[FileLog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K2_CONTRACT_LOG", broken.__name__)
    monkeypatch.setenv(MAIN, str(os.getpid()))
    if BROKEN[broken] in BESIDE:
        only = [name for name in standard_tests(TestFileLog) if name.split("_")[1] in BESIDE]
        if broken is log_broken_keeping.AcknowledgesTooEarly:
            # What it keeps back at its end is lost with the process, on a busy machine in B41 too: that is the same fault.
            only = [name for name in only if not name.startswith("test_B41")]
        check_noticed(TestFileLog, BROKEN[broken], tmp_path, only)
    else:
        check_noticed(InOneProcess, BROKEN[broken], tmp_path)


def test_every_must_has_a_log_that_breaks_it() -> None:
    assert {name.split("_")[1] for name in standard_tests(TestFileLog)} == set(BROKEN.values())
