"""Marks of imports stand for rows in this very log: one that lost them, or is another, voids them all."""

from __future__ import annotations

import logging
import pathlib
import shutil

import pytest

from k2core.cli.import_marks import Marks
from k2core.interfaces.broker import Broker
from tests.integration.query.test_replaced_log import BINANCE, append, opened

LOGGER = logging.getLogger("k2.test")
MARK = {"file": "a.csv", "rows": 5}


def marks(folder: pathlib.Path, log: Broker) -> Marks:
    return Marks(folder / "imports", log, BINANCE.name, LOGGER)


def test_marks_hold_while_the_log_is_the_same_and_grows(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path) as log:
        append(log, 1, 2, 3)
        marks(tmp_path, log).keep(MARK)
    with opened(tmp_path) as log:
        append(log, 4, 5)
        assert marks(tmp_path, log).all == [MARK]


@pytest.mark.parametrize("further", [0, 1, 2, 9])
def test_an_older_copy_of_the_log_voids_them_however_far_it_has_grown(tmp_path: pathlib.Path, further: int) -> None:
    with opened(tmp_path) as log:
        append(log, 1, 2)
    (tmp_path / "copy").mkdir()
    for file in tmp_path.glob("log.db*"):
        (shutil.copy if file.is_file() else shutil.copytree)(file, tmp_path / "copy" / file.name)
    with opened(tmp_path) as log:
        append(log, 3, 4)
        marks(tmp_path, log).keep(MARK)
    for file in tmp_path.glob("log.db*"):
        file.unlink() if file.is_file() else shutil.rmtree(file)
    for file in (tmp_path / "copy").glob("log.db*"):
        (shutil.copy if file.is_file() else shutil.copytree)(file, tmp_path / file.name)
    with opened(tmp_path) as log:
        if further:
            append(log, *range(100, 100 + further))
        assert marks(tmp_path, log).all == []


def test_another_log_of_the_same_topic_voids_them(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path) as log:
        append(log, 1, 2)
        marks(tmp_path, log).keep(MARK)
    for file in tmp_path.glob("log.db*"):
        file.unlink() if file.is_file() else shutil.rmtree(file)
    with opened(tmp_path) as log:
        append(log, 1, 2, 3)
        assert marks(tmp_path, log).all == []
