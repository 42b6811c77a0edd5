"""Made ids: the same for the same rows of the same beginning, different for everything else; and going on with marks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from k2_plugin_files.identity import Chain

Reading = Callable[..., Any]
Csv = Callable[..., Path]
LINES = [f"BHP,02/02/2026,10:00:00.{n // 3:03d},4512,100,x{n}" for n in range(50)]


def test_a_file_again_or_under_another_name_has_the_same_ids(reading: Reading, csv_file: Csv) -> None:
    first = reading(csv_file(*LINES))
    assert reading(csv_file(*LINES, name="other.csv"), block_bytes=1024).ids == first.ids
    assert len(set(first.ids)) == len(LINES), "equal rows of one file are different trades"


def test_columns_that_nobody_reads_do_not_count(reading: Reading, csv_file: Csv) -> None:
    others = [line.rpartition(",")[0] + ",else" for line in LINES]
    assert reading(csv_file(*others)).ids == reading(csv_file(*LINES, name="b.csv")).ids


def test_a_file_that_grew_adds_its_new_rows(reading: Reading, csv_file: Csv) -> None:
    assert (
        reading(csv_file(*LINES)).ids
        == reading(csv_file(*LINES[:20], name="a.csv")).ids + reading(csv_file(*LINES)).ids[20:]
    )


def test_a_change_is_another_file_from_there_on(reading: Reading, csv_file: Csv) -> None:
    changed = [*LINES[:10], LINES[10].replace("4512", "4513"), *LINES[11:]]
    before, after = reading(csv_file(*LINES)).ids, reading(csv_file(*changed, name="b.csv")).ids
    assert before[:10] == after[:10]
    assert not set(before[10:]) & set(after[10:])


def test_another_way_of_reading_gives_other_ids(reading: Reading, csv_file: Csv) -> None:
    path = csv_file(*LINES)
    zone = {"columns": ["Date", "Time"], "format": "%d/%m/%Y %H:%M:%S.%f", "zone": "UTC"}
    assert not set(reading(path).ids) & set(reading(path, time=zone).ids)
    assert reading(path).ids == reading(path, batch_rows=7, block_bytes=4096).ids, "how much at once does not count"


SPELLINGS: list[dict[str, Any]] = [
    {"columns": {"quantity": "Volume", "price": {"scale": "1E-2", "column": "Price"}, "symbol": {"column": "Code"}}},
    {"columns": {"price": {"column": "Price", "scale": "0.010"}, "symbol": "Code", "quantity": {"column": "Volume", "scale": 1}}},
    {"columns": {"symbol": {"missing": None, "values": {}, "column": "Code"}, "price": {"column": "Price", "scale": 0.01}, "quantity": "Volume"}},
    {"time": {"ambiguous": "refuse", "zone": "Australia/Sydney", "format": "%d/%m/%Y %H:%M:%S.%f", "columns": ["Date", "Time"]}},
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_same_reading_written_otherwise_has_the_same_ids(
    reading: Reading, csv_file: Csv, spelling: dict[str, Any]
) -> None:
    path = csv_file(*LINES)
    whole = reading(path)
    assert reading(path, **spelling).ids == whole.ids
    assert reading(path, whole.marks, **spelling).source.known == 50


def test_the_order_of_words_and_constants_does_not_count(reading: Reading, csv_file: Csv) -> None:
    path, words = csv_file(*LINES), {"BHP": "BHP.AX", "CBA": "CBA.AX"}
    plain = {"quantity": "Volume", "price": "Price"}
    one, two = (
        {**plain, "symbol": {"column": "Code", "values": dict(w)}} for w in (words.items(), [*words.items()][::-1])
    )
    assert reading(path, columns=one).ids == reading(path, columns=two).ids
    constants = {"side": "buy", "sequence_num": "1"}
    assert (
        reading(path, constants=constants).ids == reading(path, constants=dict(reversed(list(constants.items())))).ids
    )


def test_what_a_setting_means_counts(reading: Reading, csv_file: Csv) -> None:
    path, plain = csv_file(*LINES), {"symbol": "Code", "quantity": "Volume", "price": "Price"}
    ways: list[dict[str, Any]] = [
        {"columns": plain}, {"columns": {**plain, "price": {"column": "Price", "scale": 0.1}}},
        {"columns": {**plain, "price": {"column": "Price", "missing": "1"}}},
        {"columns": {**plain, "price": "Volume", "quantity": "Price"}}, {"columns": plain, "exchange": "nzx"},
        {"columns": plain, "constants": {"side": "buy"}}, {"columns": plain, "constants": {"side": "sell"}},
        {"columns": {**plain, "symbol": {"column": "Code", "values": {"BHP": "BHP.AX"}}}},
    ]  # fmt: skip
    assert len({reading(path, **way).ids[0] for way in ways}) == len(ways)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ((["a\x1fb"], ["c"]), (["a"], ["b\x1fc"])),
        ((["a\x1f1"], ["b"]), (["a"], ["1\x1fb"])),
        (([None], ["b"]), ([""], ["b"])),
        ((["-"], [None]), ([None], ["-"])),
    ],
)
def test_where_a_field_ends_counts(one: tuple[list[str]], two: tuple[list[str]]) -> None:
    ids = [
        Chain(b"").extend(pa.record_batch([pa.array(c, pa.string()) for c in row], ["x", "y"]), {})
        for row in (one, two)
    ]
    assert ids[0].tolist() != ids[1].tolist()


def test_a_broken_row_counts_for_those_behind_it(reading: Reading, csv_file: Csv) -> None:
    one, two = (reading(csv_file(LINES[0], broken, LINES[1])).ids for broken in ("BHP,x", "BHP,y"))
    assert one[0] == two[0]
    assert one[1] != two[1]


def test_an_id_of_its_own_is_kept(reading: Reading, csv_file: Csv) -> None:
    found = reading(
        csv_file(*LINES), columns={"symbol": "Code", "quantity": "Volume", "price": "Price", "trade_id": "Cond"}
    )
    assert found.ids == [f"x{n}" for n in range(50)]


def test_a_mark_passes_over_what_it_stands_for(reading: Reading, csv_file: Csv) -> None:
    whole = reading(csv_file(*LINES), block_bytes=1024)
    assert len(whole.marks) > 1, "several chunks, or this proves little"
    for mark in whole.marks:
        rest = reading(csv_file(*LINES, name="renamed.csv"), [mark], block_bytes=1500)
        assert rest.source.known == mark["row"]
        assert rest.ids == whole.ids[mark["row"] :]
    grown = reading(csv_file(*LINES, *LINES), [whole.marks[-1]])
    assert (grown.source.known, len(grown.ids)) == (50, 50)


def test_a_mark_of_a_file_that_only_begins_alike_is_not_believed(reading: Reading, csv_file: Csv) -> None:
    mark = reading(csv_file(*LINES)).marks[-1]
    changed = [*LINES[:10], LINES[10].replace("4512", "4513"), *LINES[11:]]
    assert reading(csv_file(*changed), [mark]).source.known == 0
    assert reading(csv_file(*LINES[:20]), [mark]).source.known == 0
    assert reading(csv_file(*LINES[1:]), [mark]).source.known == 0
    assert reading(csv_file(*LINES), [{"file": mark["file"], "row": 3, "digest": "0"}, mark]).source.known == 50


def test_marks_lag_behind_what_is_durable(reading: Reading, csv_file: Csv) -> None:
    found = reading(csv_file(*LINES), block_bytes=1024)
    fresh = reading(csv_file(*LINES), block_bytes=1024).source
    assert fresh.mark(0) is None or fresh.mark(0)["row"] <= 50
    assert [m["row"] for m in found.marks] == sorted({m["row"] for m in found.marks})
