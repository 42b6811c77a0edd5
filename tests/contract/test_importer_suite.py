"""Each MUST of an importer has an importer that breaks it, and that fails its test and no other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from k2core.plugin import FrameBatch, Mark, NormalizedBatch, Trade
from tests.contract.importer_model import Lines, LineSource, LineSuite, suite_of
from tests.contract.standard import applying, failing


class CountsFromZero(LineSource):
    """Dead letters would name the row before; here only where none is broken."""

    def first(self, number: int) -> int:
        return number + (len(self.digests) == 41 and "oops" not in self.path.read_text())


class NamesNoFile(LineSource):
    async def frames(self) -> AsyncIterator[FrameBatch]:
        async for batch in super().frames():
            yield FrameBatch(batch.frames, batch.received_ns, 0, batch.first_number)


class RoundsPrices(Lines):
    def parse(self, frame: bytes) -> Iterator[Trade]:
        for one in super().parse(frame):
            yield Trade(one.symbol, str(int(float(str(one.price)))), one.quantity, one.side, one.trade_id, one.time_us)


class LosesTheRowBehindABrokenOne(Lines):
    def normalize(self, batch: FrameBatch) -> NormalizedBatch:
        found = super().normalize(batch)
        broken = [one.index for one in found.rejected]
        if not broken:
            return found
        kept = [name for name in range(found.records["trades"].num_rows) if name != broken[0] - 1]
        return NormalizedBatch({"trades": found.records["trades"].take(kept)}, found.rejected, 0, found.yielding)


class NamesRowsByTheirFile(LineSource):
    def identity(self, rows: list[str], number: int) -> str:
        return f"{self.path.name}-{number}"


class NamesRowsByTheirContent(LineSource):
    """Equal rows are one."""

    def identity(self, rows: list[str], number: int) -> str:
        return self.digest([rows[number - 1]])


class ForgetsMarks(LineSource):
    def proven(self, rows: list[str]) -> int:
        return 0


class MarksWhatItWillRead(LineSource):
    def mark(self, frames: int) -> Mark | None:
        more = min(frames + 5, len(self.digests) - 1 - self.passed) if len(self.digests) == 41 else frames
        return super().mark(more) if frames else None


class BelievesAnyMark(LineSource):
    def proven(self, rows: list[str]) -> int:
        return max((int(mark["row"]) for mark in self.marks), default=0)


class TakesDamageForAnEmptyFile(LineSource):
    def lines(self) -> list[str]:
        content = self.path.read_bytes() if self.path.exists() else b""
        return super().lines() if content.isascii() and content else []


class OpensAtOnce(LineSource):
    def __init__(self, path: Path, marks: Any) -> None:
        super().__init__(path, marks)
        self.lines()


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"source": CountsFromZero}, "test_I01_every_row_is_a_frame_with_its_number"),
    ({"source": NamesNoFile}, "test_I01_every_row_is_a_frame_with_its_number"),
    ({"normalizer": RoundsPrices()}, "test_I02_records_are_what_the_rows_say"),
    ({"normalizer": LosesTheRowBehindABrokenOne()}, "test_I03_a_broken_row_is_a_dead_letter_with_its_number"),
    ({"source": NamesRowsByTheirFile}, "test_I04_a_row_has_one_identity_however_often_it_is_read"),
    ({"source": NamesRowsByTheirContent}, "test_I05_rows_of_a_file_differ"),
    ({"source": ForgetsMarks}, "test_I06_a_mark_of_the_whole_file_passes_over_all_of_it"),
    ({"source": MarksWhatItWillRead}, "test_I07_marks_never_run_ahead"),
    ({"source": BelievesAnyMark}, "test_I08_a_mark_counts_only_where_the_file_proves_to_begin_so"),
    ({"source": TakesDamageForAnEmptyFile}, "test_I09_what_cannot_be_read_says_so"),
    ({"source": OpensAtOnce}, "test_I10_nothing_is_opened_before_it_is_read"),
]


def test_a_sound_importer_passes() -> None:
    assert failing(LineSuite) == {}


@pytest.mark.parametrize(("broken", "meant"), BROKEN)
def test_a_broken_importer_fails_the_test_meant_for_it(broken: dict[str, Any], meant: str) -> None:
    found = failing(suite_of(**broken), [name for name in applying(LineSuite) if "_I" in name])
    assert set(found) == {meant}, found


def test_every_must_has_an_importer_that_breaks_it() -> None:
    assert {name for name in applying(LineSuite) if "_I" in name} == {meant for _, meant in BROKEN}
