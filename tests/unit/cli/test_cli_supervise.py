"""Whom `k2 up` takes for wedged, also where another process of the same name writes into the same run folder."""

from __future__ import annotations

import pathlib
import signal
import sys
from collections.abc import Iterator

import pytest

from k2core.cli.child import Child, ChildSpec
from k2core.cli.supervise import Limits, Supervisor
from k2core.clock import SystemClock
from k2core.telemetry.status import Status

LIMITS = Limits(wedged=15, starting=120)


@pytest.fixture
def child() -> Iterator[Child]:
    one = Child(ChildSpec(name="write", command=[sys.executable, "-c", "input()"]), relay=lambda line: None)
    one.start(0.0)
    yield one
    one.signal(signal.SIGKILL)
    one.reap()


@pytest.fixture
def up(tmp_path: pathlib.Path) -> Supervisor:
    return Supervisor(
        [], folder=tmp_path, clock=SystemClock(), limits=LIMITS, say=lambda line: None, relay=lambda line: None
    )


def said(pid: int | None, at_s: float, state: str = "running") -> Status:
    return Status("write", pid or 0, int(1000 * at_s), state)


def test_a_second_writer_in_the_folder_gets_nobody_killed(up: Supervisor, child: Child) -> None:
    for second in range(1, 400):
        assert not up._silent_for(child, said(child.pid, second), second)
        assert not up._silent_for(child, said(1, second), second + 0.5)
    assert up._silent_for(child, said(1, 600), 600), "silent for 200 s, whatever the other one says"


def test_silence_is_measured_from_what_was_heard_in_this_life(up: Supervisor, child: Child) -> None:
    assert not up._silent_for(child, said(1, 0), 119), "the status of the life before"
    assert up._silent_for(child, None, 121)
    assert not up._silent_for(child, said(child.pid, 122, "starting"), 122)
    assert not up._silent_for(child, said(child.pid, 122, "starting"), 240)
    assert not up._silent_for(child, said(child.pid, 241), 241)
    assert not up._silent_for(child, said(child.pid, 241), 255)
    assert up._silent_for(child, said(child.pid, 241), 257)
