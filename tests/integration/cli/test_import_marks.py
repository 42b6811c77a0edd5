"""Marks of imports stand for rows in this very log: one that lost them, or is another, voids them all."""

from __future__ import annotations

import json
import logging
import pathlib
import shutil

import pytest

from k2core.broker.specs import topic_spec
from k2core.cli.import_marks import Marks
from k2core.interfaces.broker import Broker
from k2core.records.builtin import TRADES
from k2core.records.topics import Topic
from tests.integration.query.test_replaced_log import BINANCE, append, opened

LOGGER = logging.getLogger("k2.test")
LETTERS = Topic(BINANCE.asset_class, "dead_letters", BINANCE.exchange)
MARK = {"file": "a.csv", "rows": 5}


def marks(folder: pathlib.Path, log: Broker) -> Marks:
    if LETTERS.name not in log.topics():
        log.ensure_topics([topic_spec(LETTERS, TRADES)])  # whatever its records are
    return Marks(folder / "imports", log, [BINANCE.name, LETTERS.name], LOGGER)


def copy(folder: pathlib.Path) -> None:
    (folder / "copy").mkdir()
    for file in folder.glob("log.db*"):
        (shutil.copy if file.is_file() else shutil.copytree)(file, folder / "copy" / file.name)


def put_back(folder: pathlib.Path) -> None:
    for file in folder.glob("log.db*"):
        file.unlink() if file.is_file() else shutil.rmtree(file)
    for file in (folder / "copy").glob("log.db*"):
        (shutil.copy if file.is_file() else shutil.copytree)(file, folder / file.name)


def test_dead_letters_that_are_lost_void_them_though_every_record_is_there(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path) as log:
        marks(tmp_path, log)
        append(log, 1, 2)
        append(log, 1, topic=LETTERS)
    copy(tmp_path)
    with opened(tmp_path) as log:
        append(log, 2, topic=LETTERS)
        marks(tmp_path, log).keep(MARK)
    with opened(tmp_path) as log:
        assert marks(tmp_path, log).all == [MARK]
    put_back(tmp_path)
    with opened(tmp_path) as log:
        assert marks(tmp_path, log).all == []


def test_marks_of_an_older_k2_are_read_as_none(tmp_path: pathlib.Path) -> None:
    (tmp_path / "imports").mkdir()
    old = {"topic_id": "x", "stamps": {"0": [1, "y"]}, "files": {"a.csv": MARK}}
    (tmp_path / "imports" / f"{BINANCE.name}.json").write_text(json.dumps(old))
    with opened(tmp_path) as log:
        assert marks(tmp_path, log).all == []


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
    copy(tmp_path)
    with opened(tmp_path) as log:
        append(log, 3, 4)
        marks(tmp_path, log).keep(MARK)
    put_back(tmp_path)
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
