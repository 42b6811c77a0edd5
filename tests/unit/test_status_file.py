"""A status that cannot be written stops nothing, is said once, and comes back by itself."""

from __future__ import annotations

import logging
import os
import pathlib
import shutil

import pytest

from k2core.telemetry.metrics import Metrics
from k2core.telemetry.status import StatusFile, read_statuses
from k2core.testing import ManualClock


def test_a_folder_that_is_gone_and_comes_back(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "run"
    file = StatusFile(folder, "write", ManualClock(), Metrics())
    file.publish("running")
    shutil.rmtree(folder)
    with caplog.at_level(logging.WARNING, "k2.status"):
        file.publish("running")
        file.publish("running")
    assert len(caplog.records) == 1
    folder.mkdir()
    file.publish("draining")
    assert read_statuses(folder)["write"].state == "draining"
    assert [p.name for p in folder.iterdir()] == ["write.json"]


def test_one_that_nobody_minds_leaves_the_file_to_one_that_is(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    child = StatusFile(tmp_path, "serve", clock, Metrics(), minded=True)
    monkeypatch.setattr("os.getpid", lambda: 4711)
    child.publish("running")
    monkeypatch.undo()
    other = StatusFile(tmp_path, "serve", clock, Metrics())
    with caplog.at_level(logging.WARNING, "k2.status"):
        other.publish("running")
        other.publish("running")
    assert read_statuses(tmp_path)["serve"].pid == 4711
    assert other.last is not None
    assert [record.args for record in caplog.records] == [(4711, "serve")]
    clock.advance(31)
    other.publish("running")
    assert read_statuses(tmp_path)["serve"].pid == os.getpid(), "whoever was there says nothing more"
