"""MUSTs of a normalizer about sound frames: every record, its side, time, numbers, ids and columns.

Each test looks at its own columns only, so that one mistake fails one test.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from k2core.records.builtin import TRADES
from k2core.records.data_type import Column
from k2core.testing.conformance.examples import Example
from k2core.testing.conformance.joining import several
from k2core.testing.conformance.json_edit import JsonText
from k2core.testing.conformance.normalizer_side import SidePlaces, sides_of
from k2core.testing.conformance.normalizer_world import RECEIVED_NS, NormalizerFacts, Outcome

EARLIEST_US = 1_230_768_000_000_000  # 2009: before the first exchange of any coin; what is less is another unit
LATEST_US = 4_102_444_800_000_000  # 2100
EXACT = ("123456789.012345", "0.000012345678912345", "999999999999999", "1.5")
INEXACT = ("12345678901234567890", "0.12345678901234567891", "61837.6300000000000000001")
NO_PRICE = ("0", "-1.5", "NaN", "Infinity", "oops", "", "1.2.3", "0x10")
BOOLEANS = ("true", "false")
BUYS = {"buy", "b", "bid", "buyer"}
SELLS = {"sell", "s", "ask", "seller"}
Pair = tuple[Mapping[str, Any], Mapping[str, Any]]


class RecordTests(SidePlaces):
    """Sound frames."""

    def test_N01_every_sound_frame_is_accounted_as_what_it_is(self) -> None:
        """Data frames yield, control frames are control, and nothing is refused or forgotten."""
        frames = self._frames()
        found = self._read([*frames, *self.control])
        assert not found.rejected, f"sound frames are refused: {found.rejected[:3]}"
        assert (found.yielding, found.control) == (len(frames), len(self.control)), found.accounts()
        assert self._read([]) == Outcome({}, [], 0, 0, 0), "no frames, no records"

    def test_N02_every_record_of_a_frame_in_order(self) -> None:
        """All trades of a message, not the first; each once; by symbol and id. Lists of one are made lists of two."""
        for example in (*self.examples, *(several(self.examples) if self.json_frames else ())):
            found = self._read([example.frame])
            for name, wanted in example.records.items():
                key = ("symbol", self._data_type(name).id_column or "symbol")
                got = [tuple(row.get(column) for column in key) for row in found.rows.get(name, [])]
                want = [tuple(_id(record, column) for column in key) for record in wanted]
                said = f"{name} of {example.frame[:200]!r}{found.why()}"
                assert [tuple(map(str, one)) for one in got] == want, said
            assert set(found.rows) == {name for name, wanted in example.records.items() if wanted}, found.accounts()

    def test_N03_the_side_is_the_takers(self) -> None:
        """As the examples say; both sides are shown; a printed word is turned where the maker's is printed."""
        declared = self.facts.channels.get("trades")
        shown = set()
        for example, got, want in self._pairs("trades"):
            assert got.get("side") == want.get("side"), f"side of {_id(want, 'trade_id')} in {example.frame[:200]!r}"
            shown.add(want.get("side"))
            if declared and declared.side and len(example) == 1 and self.json_frames:
                self._check_printed_side(example, str(want.get("side")), declared.side)
        if declared and declared.side and self.json_frames:
            self._check_unnamed_sides(declared.side)
        if declared:
            said = f"the examples show the sides {shown}{self._read(self._frames()).why()}"
            assert shown == ({"buy", "sell"} if declared.side else {None}), said

    def _check_printed_side(self, example: Example, side: str, declared: str) -> None:
        frame = JsonText(example.frame)
        printed = {(frame.scalar(v) or "").lower() for v in frame.members() if "side" in v.key.lower()} & (BUYS | SELLS)
        if len(printed) == 1:
            same = (printed <= BUYS) == (side == "buy")
            assert same == (declared == "taker"), f"declared {declared}'s side, but {printed} is printed for {side}"

    def _check_unnamed_sides(self, declared: str) -> None:
        """Words for a side where nothing is called side, as in frames that are lists: those that turn a record's side."""
        for frame, value, number in self._printed_sides(self._words_by_place()):
            printed = (frame.scalar(value) or "").lower()
            if printed in BUYS | SELLS:
                side = sides_of(self._read([frame.text.encode()]))[number]
                said = f"declared {declared}'s side, but {printed} is printed for {side}: {frame.text[:200]}"
                assert ((printed in BUYS) == (side == "buy")) == (declared == "taker"), said

    def test_N04_times_are_the_exchanges_in_microseconds(self) -> None:
        """The printed time to the microsecond, or the receive time where it is declared that none is printed."""
        for name in dict.fromkeys(name for example in self.examples for name in example.records):
            for _, got, want in self._pairs(name):
                self._check_times(name, got, want.get("exchange_timestamp_us"), RECEIVED_NS // 1000)

    def _check_times(self, name: str, got: Mapping[str, Any], printed_us: int | None, received_us: int) -> None:
        declared = self.facts.channels[name].event_time
        if printed_us is not None:
            said = f"{name}: an example's exchange_timestamp_us is no time in Unix µs: {printed_us}"
            assert EARLIEST_US < printed_us < LATEST_US, said
        said = f"{name}: event_time is declared {declared!r}, and the examples name "
        assert (printed_us is None) == (declared == "received"), said + ("no time" if printed_us is None else "times")
        time_us = received_us if printed_us is None else printed_us
        assert got["exchange_timestamp_ms"] == time_us // 1000, f"{name}: wanted {time_us // 1000} ms"
        assert got.get("exchange_timestamp_us", time_us) == time_us, f"{name}: wanted {time_us} µs"
        assert got.get("received_timestamp_us", received_us) == received_us
        if "timestamp_source" in got:
            assert got["timestamp_source"] == declared

    def test_N05_numbers_are_those_printed(self) -> None:
        """As the examples say, and up to 15 digits exactly."""
        for name, column in self._number_columns():
            for example, got, want in self._pairs(name):
                said = f"{column} of {example.frame[:200]!r}"
                assert column in want, f"the example lacks {said}"
                assert Decimal(repr(got[column])) == Decimal(str(want[column])), said
        for name, column, example in self._numbered():
            for text in EXACT:
                found = self._read([self.reprice(example, name, column, text)])
                assert not found.rejected, f"{column} {text} fits a double exactly: {found.rejected}"
                assert Decimal(repr(found.rows[name][0][column])) == Decimal(text), f"{column} {text}"

    def test_N06_what_a_double_would_round_is_refused(self) -> None:
        """`inexact-number`, never a rounded record."""
        self._check_refused(INEXACT, ("inexact-number",))

    def test_N07_what_is_no_price_is_refused(self) -> None:
        """Zero and less, NaN, words, true and false: each is a dead letter."""
        self._check_refused(NO_PRICE, ())
        for name, column, example in self._numbered():
            for raw in BOOLEANS if type(self).reprice is NormalizerFacts.reprice else ():
                frame = JsonText(example.frame)
                value = frame.printing(Decimal(str(example.records[name][0][column])))[0]
                found = self._read([frame.put_raw(value, raw)])
                assert not found.rows, f"{column} {raw} became {found.rows}"
                assert found.places == [0], f"{column} {raw}: {found.accounts()}"

    def _check_refused(self, texts: tuple[str, ...], reasons: tuple[str, ...]) -> None:
        for name, column, example in self._numbered():
            for text in texts:
                if text == "0" and column not in self._data_type(name).positive:
                    continue
                found = self._read([self.reprice(example, name, column, text)])
                assert not found.rows, f"{column} {text} became {found.rows}"
                assert found.places == [0], f"{column} {text}: {found.accounts()}"
                assert not reasons or found.rejected[0].reason in reasons, f"{column} {text}: {found.rejected[0]}"

    def test_N08_ids_are_what_is_declared(self) -> None:
        """Contiguous ones count up by one and are the sequence number; increasing ones rise; opaque ones differ."""
        for name, facts in self.facts.channels.items():
            last: dict[str, list[str]] = {}
            column = self._data_type(name).id_column
            if column is None:
                continue
            for _, got, _ in self._pairs(name):
                sequence, text = got.get("sequence_num"), got[column]
                if facts.ids == "contiguous":
                    assert text.isdigit(), f"{name}: contiguous ids are numbers, not {text!r}"
                    assert sequence == int(text), f"{name}: contiguous ids are the sequence_num"
                else:
                    assert str(sequence) != text, f"{name}: ids are {facts.ids}, so they are no sequence_num"
            for record in (record for example in self.examples for record in example.records.get(name, ())):
                last.setdefault(record["symbol"], []).append(_id(record, column))
            for symbol, ids in last.items():
                self._check_ids(f"{name} of {symbol}", facts.ids, ids)
            enough = any(len(ids) > 1 for ids in last.values())
            assert enough, f"{name}: the examples need two records of one symbol, as they came"

    def _check_ids(self, what: str, kind: str, ids: list[str]) -> None:
        if kind == "opaque":
            assert len(set(ids)) == len(ids), f"{what}: ids repeat: {ids}"
            return
        steps = [int(b) - int(a) for a, b in itertools.pairwise(ids)]
        good = all(step == 1 for step in steps) if kind == "contiguous" else all(step > 0 for step in steps)
        assert good, f"{what}: ids are declared {kind}, the examples have {ids}"

    def test_N09_columns_are_the_data_types(self) -> None:
        """Names, types and nulls as declared, of this exchange; other columns of the examples as they say."""
        from k2core.interfaces.frames import FrameBatch

        frames = self._frames()
        batch = FrameBatch(frames, [RECEIVED_NS] * len(frames))
        for name, records in self._normalizer().normalize(batch).records.items():
            records.validate(full=True)
            data_type = self._data_type(name)
            known = {column.name: column for column in data_type.columns}
            assert set(records.schema.names) <= set(known), (
                f"{name} has no columns {set(records.schema.names) - set(known)}"
            )
            for column in data_type.columns:
                if column.name not in records.schema.names:
                    assert column.nullable, f"{name} needs {column.name}"
                    continue
                kinds = _kinds(data_type.arrow_schema.field(column.name), column)
                assert records[column.name].type in kinds, f"{name}.{column.name} is {records[column.name].type}"
                assert column.nullable or not records[column.name].null_count, f"{name}.{column.name} has nulls"
            assert set(records["exchange"].to_pylist()) == {self.facts.exchange}
        self._check_other_columns()

    def _check_other_columns(self) -> None:
        seen = {"side", "exchange_timestamp_us", "exchange_timestamp_ms", TRADES.id_column, "update_id", "symbol"}
        for name in {name for example in self.examples for name in example.records}:
            numbers = {column for data_type, column in self._number_columns() if data_type == name}
            for example, got, want in self._pairs(name):
                other = {c: (got.get(c), v) for c, v in want.items() if c not in seen | numbers and got.get(c) != v}
                assert not other, f"(got, wanted) of {example.frame[:200]!r}: {other}"

    def _pairs(self, name: str) -> Iterator[tuple[Example, Mapping[str, Any], Mapping[str, Any]]]:
        """Each record got beside the one wanted; what is missing is another test's."""
        for example in self.examples:
            rows = self._read([example.frame]).rows.get(name, [])
            column = self._data_type(name).id_column
            if column is None:
                yield from ((example, *pair) for pair in zip(rows, example.records.get(name, ()), strict=False))
                continue
            wanted = {_id(record, column): record for record in example.records.get(name, ())}
            yield from ((example, row, wanted[row[column]]) for row in rows if row.get(column) in wanted)

    def _number_columns(self) -> list[tuple[str, str]]:
        names = dict.fromkeys(name for example in self.examples for name in example.records)
        types = [self._data_type(name) for name in names]
        return [(one.name, column) for one in types for column in (*one.positive, *one.not_negative)]

    def _numbered(self) -> list[tuple[str, str, Example]]:
        """Data type, number column, and the first example that has it."""
        if not self.json_frames and type(self).reprice is NormalizerFacts.reprice:
            return []
        return [
            (name, column, next(e for e in self.examples if e.records.get(name)))
            for name, column in self._number_columns()
        ]


def _id(record: Mapping[str, Any], column: str) -> str:
    assert column in record, f"an example's record lacks {column}: {record}"
    return str(record[column])


def _kinds(field: Any, column: Column) -> set[Any]:
    """Arrow types that a column may have: plain text for words too, and no type where all is null."""
    import pyarrow as pa

    plain = {pa.string()} if column.kind == "string" else set()
    return {field.type} | plain | ({pa.null()} if column.nullable else set())
