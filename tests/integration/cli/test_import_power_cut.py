"""A log that may lose its newest records in a power cut goes on in a new epoch; what imports were told of it is void."""

from __future__ import annotations

import logging
import os
import pathlib

import pytest

from k2core.cli.import_marks import Marks
from tests.integration.broker.log_world import PARTITIONS, TOPIC, a_topic, batch, running
from tests.integration.broker.test_log_power_cut import another_boot

MARK = {"file": "f", "row": 80, "digest": "d"}
CUT_OFF = """
import logging, os, pathlib, sys
from k2core.cli.import_marks import Marks
from tests.integration.broker.log_world import TOPIC, a_topic, batch
folder = pathlib.Path(sys.argv[1])
log = a_topic(folder / "log", durability="normal").__enter__()
producer = log.producer()
for start in range(0, 80, 8):
    producer.produce([batch(range(start, start + 8), size=400)])
    print(os.path.getsize(folder / "log" / "log.db-wal"), flush=True)
Marks(folder / "imports", log, [TOPIC], logging.getLogger()).keep({"file": "f", "row": 80, "digest": "d"})
os._exit(0)
"""


@pytest.mark.parametrize("further", [0, 1, PARTITIONS, 200])
@pytest.mark.parametrize("kept", [6, 10])
def test_a_new_epoch_voids_what_was_lost_and_only_that(tmp_path: pathlib.Path, further: int, kept: int) -> None:
    (tmp_path / "log").mkdir()
    sizes = [int(line) for line in running(CUT_OFF, tmp_path).communicate(timeout=120)[0].split()]
    assert len(sizes) == 10
    os.truncate(tmp_path / "log" / "log.db-wal", sizes[kept - 1])
    another_boot(tmp_path / "log")
    with a_topic(tmp_path / "log", durability="normal") as log:
        if further:
            log.producer().produce([batch(range(1000, 1000 + further))])
            assert max(log.ends([TOPIC]).values()) > 1 << 40, "capture went on in a new epoch, beyond the old ends"
        marks = Marks(tmp_path / "imports", log, [TOPIC], logging.getLogger("k2.test"))
        assert list(marks.all) == ([MARK] if kept == 10 else [])
