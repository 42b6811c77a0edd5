"""A status that cannot be written stops nothing, is said once, and comes back by itself."""

from __future__ import annotations

import logging
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
