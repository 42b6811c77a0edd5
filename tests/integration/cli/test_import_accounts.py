"""What `k2 import` says of itself is true: marks never run ahead of the log, and half a file is never called whole."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import k2core.cli.importing as importing
from k2core.broker.database import LogWriteError
from k2core.broker.producer import EmbeddedProducer
from k2core.cli.import_marks import Marks
from k2core.interfaces.broker import EncodedBatch, Offsets
from tests.integration.cli.import_shop import HEAD, TRADES, Shop, trades

ROWS = 30_000
SMALL = TRADES + "block_bytes = 4096\n"


def marked(folder: pathlib.Path) -> int:
    """The last row that a mark stands for."""
    files = (json.loads(p.read_text())["files"] for p in (folder / "data/run/imports").glob("*.json"))
    return max((mark["row"] for told in files for mark in told.values()), default=0)


@pytest.fixture
def appends(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], object]], list[int]]:
    """`appends(before)`: calls `before(n)` ahead of the n-th append, and lists how many records lie in the log then."""

    def install(before: Callable[[int], object]) -> list[int]:
        durable, produce = [0], EmbeddedProducer.produce

        def watched(self: EmbeddedProducer, batches: Sequence[EncodedBatch]) -> Offsets:
            before(len(durable))
            ends = produce(self, batches)
            durable.append(durable[-1] + sum(len(batch.sizes) for batch in batches))
            return ends

        monkeypatch.setattr(EmbeddedProducer, "produce", watched)
        return durable

    return install


def test_no_mark_stands_for_rows_that_are_not_in_the_log(
    tmp_path: pathlib.Path, appends: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, told, keep = Shop(tmp_path, SMALL), threading.Semaphore(0), Marks.keep
    found: list[tuple[int, int]] = []

    def kept(self: Marks, mark: Any) -> None:
        keep(self, mark)
        told.release()

    def before(n: int) -> None:
        while told.acquire(blocking=False):
            pass
        assert all(told.acquire(timeout=60) for _ in range(2)), "marks are kept while an append is on its way"
        found.append((durable[-1], marked(tmp_path)))
        if n == 4:
            raise LogWriteError("the disk is gone")

    monkeypatch.setattr(importing, "TELL_S", 0.005)
    monkeypatch.setattr(Marks, "keep", kept)
    durable = appends(before)
    assert "the disk is gone" in shop.k2("import", shop.file("t.csv", [HEAD, *trades(0, ROWS)]), code=1)
    assert len(found) == 4
    assert all(mark <= rows for rows, mark in found), found
    assert 0 < marked(tmp_path) <= durable[-1] < ROWS, "nor does the last one, kept when the append failed"


def test_half_a_file_is_not_called_whole(tmp_path: pathlib.Path, appends: Any) -> None:
    shop = Shop(tmp_path, SMALL)
    name = shop.file("t.csv", [HEAD, *trades(0, ROWS)])
    durable = appends(lambda n: n == 2 and os.kill(os.getpid(), signal.SIGTERM))
    told = shop.k2("import", name, code=1)
    assert 0 < durable[-1] < ROWS, "it was to be stopped half-way"
    assert f"{name}: stopped after {durable[-1]:,} rows; starting again is safe" in told
    known = marked(tmp_path)
    assert 0 < known <= durable[-1]
    (rest,) = shop.bring(name)
    assert (rest["whole"], rest["known"], rest["appended"]) == (True, known, ROWS - known)


def test_a_folder_is_no_file_and_says_what_to_name(tmp_path: pathlib.Path) -> None:
    shop = Shop(tmp_path)
    (tmp_path / "day").mkdir()
    said = shop.k2("import", "day", code=2)
    assert "day is a folder: name the files in it, as day/*.csv" in said


def test_what_a_foreign_file_holds_is_shown_as_text_that_a_terminal_can_bear(tmp_path: pathlib.Path) -> None:
    shop = Shop(tmp_path)
    (tmp_path / "image.csv").write_bytes(b"\x89PNG\x1b[31m\x07\x00" * 400 + b"\n1,2\n")
    said = shop.k2("import", "image.csv", code=2)
    assert "there is no column" in said
    assert all(c.isprintable() or c == "\n" for c in said)
    assert len(said) < 600
