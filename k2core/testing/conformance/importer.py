"""`ImporterSuite`: what every importer must do. MUSTs I01 … of `docs/specs/component.md`, on files of the author's own.

class TestAsxFiles(ImporterSuite):
component = k2_importers()[0]
options = {"exchange": "asx", …}
records = ({"symbol": "BHP", "price": 45.12}, {"symbol": "CBA", "price": 101.3})

def file(self, folder: Path, rows: int, broken: int | None = None) -> Path: …
"""

from __future__ import annotations

from pathlib import Path

from k2core.errors import K2Error
from k2core.testing.conformance.importer_world import ImporterFacts


class ImporterSuite(ImporterFacts):
    """Rows, identity and marks; see `ImporterFacts` for what a subclass gives."""

    def test_I01_every_row_is_a_frame_with_its_number(self) -> None:
        """From 1, without holes, in order; the batch names the file; no row is control."""
        with self._a_file(self.most_rows) as path:
            found = self._read(path)
        assert found.numbers == list(range(1, self.most_rows + 1)), (
            f"{self.most_rows} rows gave {len(found.numbers)} frames"
        )
        assert found.origins == {path.name}, f"`origin` is the file's name, not {sorted(found.origins)}"
        assert not found.control, "a row is a record or a dead letter, never control: that would be silent loss"

    def test_I02_records_are_what_the_rows_say(self) -> None:
        """The author's words for the first rows; of the declared exchange and data type, and marked as imported."""
        with self._a_file(max(2, len(self.records))) as path:
            found = self._read(path)
        assert not found.dead, f"sound rows are refused: {found.dead}"
        assert len(self.records) > 1, "the suite needs what two rows mean"
        for row, wanted in zip(found.rows, self.records, strict=True):
            differing = {name: (row.get(name), value) for name, value in wanted.items() if row.get(name) != value}
            assert not differing, f"(got, wanted): {differing}"
        facts = self.make().facts
        assert len(facts.channels) == 1, "an importer reads one data type"
        assert {row.get("exchange", facts.exchange) for row in found.rows} == {facts.exchange}
        assert {row.get("source") for row in found.rows} == {"import"}

    def test_I03_a_broken_row_is_a_dead_letter_with_its_number(self) -> None:
        """Wherever it stands; its neighbours live."""
        for at in (1, 7, self.most_rows):
            with self._a_file(self.most_rows, broken=at) as path:
                found = self._read(path)
            assert list(found.dead) == [at], f"row {at} is broken, refused are {sorted(found.dead)}"
            assert len(found.rows) == self.most_rows - 1, "a broken row costs its neighbours"

    def test_I04_a_row_has_one_identity_however_often_it_is_read(self) -> None:
        """The same file again, under another name, and grown at its end: the same ids."""
        with self._a_file(40) as path:
            first = self._ids(self._read(path))
        with self._a_file(40, name="renamed-") as path:
            assert self._ids(self._read(path)) == first, "the file's name changes ids: a renamed file would double"
        with self._a_file(60) as path:
            assert self._ids(self._read(path))[:40] == first, "a file that grew gives its old rows new ids"

    def test_I05_rows_of_a_file_differ(self) -> None:
        """Two that are equal too: they are two trades, and not one that came twice."""
        with self._a_file(self.most_rows) as path:
            found = self._read(path)
        named = list(zip((row["symbol"] for row in found.rows), self._ids(found), strict=True))
        assert len(set(named)) == len(named), "two rows of a file have one identity: one of them would be lost"

    def test_I06_a_mark_of_the_whole_file_passes_over_all_of_it(self) -> None:
        """Under any name; what was added since comes, with its own numbers."""
        with self._a_file(40) as path:
            mark = self._read(path).marks[-1][1]
        assert mark is not None, "no mark behind the last row: every import would read everything again"
        with self._a_file(60, name="renamed-") as path:
            found = self._read(path, [mark])
        assert found.source.known == 40, f"known are 40 rows, not {found.source.known}"
        assert found.numbers == list(range(41, 61))

    def test_I07_marks_never_run_ahead(self) -> None:
        """Behind `frames` frames a mark stands for these rows at most; before any there is none."""
        with self._a_file(self.most_rows) as path:
            found = self._read(path)
            assert self.make().source(path, []).mark(0) is None, "a mark before any row was read"
        for frames, mark in found.marks:
            assert mark is None or int(mark["row"]) <= frames, f"the mark says {mark}, {frames} frames were yielded"
            assert mark is None or mark["file"], "a mark's `file` names whose rows they are"

    def test_I08_a_mark_counts_only_where_the_file_proves_to_begin_so(self) -> None:
        """A file that differs in one row before the mark is another file: every row of it comes."""
        with self._a_file(40) as path:
            mark = self._read(path).marks[-1][1]
        assert mark is not None
        for at in (1, 20, 40):
            with self._a_file(40, broken=at) as path:
                found = self._read(path, [mark])
            assert not found.source.known, (
                f"row {at} differs, and {found.source.known} rows are passed over: they are lost"
            )
            assert found.numbers == list(range(1, 41))

    def test_I09_what_cannot_be_read_says_so(self) -> None:
        """A file that is not there, and one that is none of the layout: an error that names it, never an empty file."""
        with self._a_file(2) as path:
            there = path.with_name("not-there-" + path.name)
            for name, content in (("not there", None), ("damaged", b"\x89\x00\xff" * 500)):
                if content is not None:
                    there.write_bytes(content)
                said = self._refusal(there)
                assert there.name in said, f"{name}: the error does not name the file: {said}"

    def test_I10_nothing_is_opened_before_it_is_read(self) -> None:
        """`source` and `facts` look at no file; how much was read is a share, or unknown."""
        with self._a_file(self.most_rows) as path:
            self.make().source(path.with_name("not-there-" + path.name), [])
            share = self._read(path).source.share()
            assert share is None or share == 1.0, f"a file that was read to its end is read to {share}"

    def _refusal(self, path: Path) -> str:
        try:
            found = self._read(path)
        except K2Error as error:
            return str(error)
        raise AssertionError(f"{path.name} is read as {len(found.numbers)} rows, and no error is raised")
