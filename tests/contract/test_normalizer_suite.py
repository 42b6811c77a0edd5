"""Each MUST of a normalizer has a normalizer that breaks it, and that fails its test and no other."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from k2core.plugin import (
    FrameBatch,
    FrameParser,
    NormalizedBatch,
    Normalizer,
    Quote,
    Rejected,
    RejectFrame,
    Trade,
)
from tests.contract.pit_frames import EXAMPLES, PitSuite, suite_of
from tests.contract.pit_normalizer import PitNormalizer
from tests.contract.standard import applying, failing


class PitParser(FrameParser):
    """Pit in the simple form."""

    exchange = "pit"

    def parse(self, frame: bytes) -> Iterator[Trade | Quote]:
        pit, message = PitNormalizer(), PitNormalizer().message(frame)
        if message.get("ch") == "top":
            text = {key: pit.text(message, key) for key in "sbBaA"}
            yield Quote(text["s"], text["b"], text["B"], text["a"], text["A"], pit.integer(message, "u"))
        elif message.get("ch") == "trades":
            if not message["list"]:
                raise RejectFrame("missing-field", "no trades")
            for item in message["list"]:
                number = pit.integer(item, "n")
                side = pit.side(pit.text(item, "maker_side"))
                time_us = pit.integer(item, "t") * 1000
                yield Trade(pit.text(item, "s"), item["p"], item["q"], side, number, time_us, number)
        elif message.get("ch") not in ("beat", "ok", "no", "bye"):
            raise RejectFrame("unknown-message", "no channel of Pit")


class RefusesHeartbeats(PitNormalizer):
    def records(self, message: Any, received_ns: int) -> Any:
        if message.get("ch") == "beat":
            raise RejectFrame("unknown-message", "a heartbeat")
        return super().records(message, received_ns)


class CountsRecordsAsFrames(PitNormalizer):
    """`yielding` is frames, not records."""

    def answer(self, records: Any, rejected: Any, control: int, yielding: int) -> NormalizedBatch:
        rows = sum(batch.num_rows for batch in records.values())
        return NormalizedBatch(records, rejected, control, rows if control and not rejected else yielding)


class KeepsTheFirstTrade(PitNormalizer):
    def chosen(self, items: Any) -> Any:
        return items[:1]


class TurnsTheTradesAround(PitNormalizer):
    def chosen(self, items: Any) -> Any:
        return items[::-1]


class TakesTheMakersSide(PitNormalizer):
    def side(self, maker: str) -> str:
        super().side(maker)
        return maker


class TakesMillisecondsForMicroseconds(PitNormalizer):
    def time_us(self, time_ms: int) -> int:
        return time_ms


class CutsTimesToSeconds(PitNormalizer):
    def time_us(self, time_ms: int) -> int:
        return super().time_us(time_ms) // 1_000_000 * 1_000_000


class TakesNanosecondsForMicroseconds(PitNormalizer):
    def quote_time_us(self, received_ns: int) -> int:
        return received_ns


class RoundsToCents(PitNormalizer):
    def double(self, text: str, exact: Decimal) -> float:
        return round(super().double(text, exact), 1)


class RoundsSilently(PitNormalizer):
    """`float(price)` as it is."""

    def double(self, text: str, exact: Decimal) -> float:
        return float(text)


class BelievesAnyNumber(PitNormalizer):
    def number(self, item: Any, key: str, *, zero: bool) -> float:
        try:
            return super().number(item, key, zero=zero)
        except RejectFrame as error:
            if error.reason != "bad-number" or item[key] not in ("0", "-1.5"):
                raise
            return float(item[key])


class TakesTrueForOne(PitNormalizer):
    """`float(price)`, and JSON's booleans are numbers in Python."""

    def number(self, item: Any, key: str, *, zero: bool) -> float:
        return float(item[key]) if isinstance(item.get(key), bool) else super().number(item, key, zero=zero)


class CallsQuotesContiguous(PitNormalizer):
    """The feed prints every change at the top: the ids have holes, so they are no sequence."""

    def quote_sequence(self, item: Any) -> int | None:
        return self.integer(item, "u")


class ForgetsTheExchange(PitNormalizer):
    def head(self, item: Any, time_us: int, received_ns: int) -> Any:
        return {**super().head(item, time_us, received_ns), "exchange": "PIT"}


class NamesAColumnOfItsOwn(PitNormalizer):
    def head(self, item: Any, time_us: int, received_ns: int) -> Any:
        return {**super().head(item, time_us, received_ns), "maker": "x"}


class RaisesOnHalfAFrame(PitNormalizer):
    """Only where it is cut off, so that rubbish is refused."""

    def message(self, frame: bytes) -> Any:
        if frame.endswith(b'"maker_side":"sell","t":1723'):
            raise ValueError("unexpected end")
        return super().message(frame)


class TakesHalfAFrameForControl(PitNormalizer):
    def normalize(self, batch: FrameBatch) -> NormalizedBatch:
        found = super().normalize(batch)
        cut = [one for one in found.rejected if batch.frames[one.index] == b'{"ch":"to']
        kept = [one for one in found.rejected if one not in cut]
        return NormalizedBatch(found.records, kept, found.control + len(cut), found.yielding)


class RaisesOnOddBytes(PitNormalizer):
    def message(self, frame: bytes) -> Any:
        if b"\xff" in frame and len(frame) > 20:
            frame.decode()
        return super().message(frame)


class LosesCountOfOddFrames(PitNormalizer):
    def answer(self, records: Any, rejected: list[Rejected], control: int, yielding: int) -> NormalizedBatch:
        odd = [one for one in rejected if one.reason == "time-out-of-range"]
        return NormalizedBatch(records, [one for one in rejected if one not in odd], control, yielding)


class RefusesNewFields(PitNormalizer):
    def text(self, item: Any, key: str) -> str:
        if "k2_unknown" in item:
            raise RejectFrame("wrong-type", "a field that nobody knows")
        return super().text(item, key)


class InventsASide(PitNormalizer):
    def text(self, item: Any, key: str) -> str:
        return super().text({"maker_side": "buy", **item}, key)


class TakesALostChannelForControl(PitNormalizer):
    def unknown(self, message: Any) -> Any:
        return None if "list" in message else super().unknown(message)


class DropsUnknownMessages(PitNormalizer):
    def unknown(self, message: Any) -> Any:
        return None if message.keys() == {"k2"} else super().unknown(message)


class BuffersMegabytes(PitNormalizer):
    def message(self, frame: bytes) -> Any:
        if len(frame) > 1_000_000:
            raise MemoryError
        return super().message(frame)


class KeepsState(PitNormalizer):
    """Numbers the calls."""

    calls = 0

    def normalize(self, batch: FrameBatch) -> NormalizedBatch:
        found, self.calls = super().normalize(batch), self.calls + 1
        if self.calls < 2 or "trades" not in found.records:
            return found
        return NormalizedBatch(
            {"trades": found.records["trades"].slice(1)}, found.rejected, found.control, found.yielding
        )


class DependsOnTheBatch(PitNormalizer):
    """Looks at the first receive time of the batch alone, as if all frames came with it."""

    def normalize(self, batch: FrameBatch) -> NormalizedBatch:
        if len(batch) > 5:
            batch = FrameBatch(batch.frames, [batch.received_ns[0]] * len(batch))
        return super().normalize(batch)


class DropsDoubles(PitNormalizer):
    def normalize(self, batch: FrameBatch) -> NormalizedBatch:
        found = super().normalize(batch)
        if batch.frames and len(batch) == 2 * len(set(batch.frames)) and batch.frames[0] == batch.frames[1]:
            return NormalizedBatch(
                {name: some.slice(0, some.num_rows // 2) for name, some in found.records.items()},
                found.rejected, found.control, found.yielding,
            )  # fmt: skip
        return found


class GuessesTheSide(PitNormalizer):
    """`"sell" if … else "buy"`: whatever is no buy was sold."""

    def side(self, maker: str) -> str:
        return "sell" if maker == "buy" else "buy"


BROKEN = [
    (RefusesHeartbeats, "test_N01_every_sound_frame_is_accounted_as_what_it_is"),
    (CountsRecordsAsFrames, "test_N01_every_sound_frame_is_accounted_as_what_it_is"),
    (KeepsTheFirstTrade, "test_N02_every_record_of_a_frame_in_order"),
    (TurnsTheTradesAround, "test_N02_every_record_of_a_frame_in_order"),
    (TakesTheMakersSide, "test_N03_the_side_is_the_takers"),
    (TakesMillisecondsForMicroseconds, "test_N04_times_are_the_exchanges_in_microseconds"),
    (CutsTimesToSeconds, "test_N04_times_are_the_exchanges_in_microseconds"),
    (TakesNanosecondsForMicroseconds, "test_N04_times_are_the_exchanges_in_microseconds"),
    (RoundsToCents, "test_N05_numbers_are_those_printed"),
    (RoundsSilently, "test_N06_what_a_double_would_round_is_refused"),
    (BelievesAnyNumber, "test_N07_what_is_no_price_is_refused"),
    (TakesTrueForOne, "test_N07_what_is_no_price_is_refused"),
    (CallsQuotesContiguous, "test_N08_ids_are_what_is_declared"),
    (ForgetsTheExchange, "test_N09_columns_are_the_data_types"),
    (NamesAColumnOfItsOwn, "test_N09_columns_are_the_data_types"),
    (RaisesOnHalfAFrame, "test_N10_half_a_frame_is_refused_and_its_neighbours_live"),
    (TakesHalfAFrameForControl, "test_N10_half_a_frame_is_refused_and_its_neighbours_live"),
    (RaisesOnOddBytes, "test_N11_whatever_the_bytes_it_accounts_and_never_raises"),
    (LosesCountOfOddFrames, "test_N11_whatever_the_bytes_it_accounts_and_never_raises"),
    (RefusesNewFields, "test_N12_an_unknown_field_does_no_harm"),
    (InventsASide, "test_N13_a_vanished_field_is_refused_or_not_missed"),
    (TakesALostChannelForControl, "test_N13_a_vanished_field_is_refused_or_not_missed"),
    (DropsUnknownMessages, "test_N14_an_unknown_message_is_refused"),
    (BuffersMegabytes, "test_N15_hostile_frames_are_refused"),
    (KeepsState, "test_N16_the_same_batch_gives_the_same_answer"),
    (DependsOnTheBatch, "test_N17_a_batch_split_anywhere_gives_the_same_records"),
    (DropsDoubles, "test_N18_lost_doubled_and_reordered_frames_change_no_other"),
    (GuessesTheSide, "test_N19_an_unknown_side_is_refused_never_guessed"),
]


@pytest.mark.parametrize("sound", [PitNormalizer, PitParser])
def test_a_sound_normalizer_passes(sound: type[Normalizer]) -> None:
    assert failing(suite_of(sound)) == {}


@pytest.mark.parametrize(("broken", "meant"), BROKEN, ids=[broken.__name__ for broken, _ in BROKEN])
def test_a_broken_normalizer_fails_the_test_meant_for_it(broken: type[Normalizer], meant: str) -> None:
    found = failing(suite_of(broken))
    assert set(found) == {meant}, found


def test_lists_of_one_are_made_lists_of_two() -> None:
    singles = tuple(example for example in EXAMPLES if len(example) == 1)
    assert failing(suite_of(PitNormalizer, examples=singles), ["test_N02_every_record_of_a_frame_in_order"]) == {}
    found = failing(suite_of(KeepsTheFirstTrade, examples=singles), ["test_N02_every_record_of_a_frame_in_order"])
    assert len(found) == 1


def test_every_must_has_a_normalizer_that_breaks_it() -> None:
    assert {name for name in applying(PitSuite) if "_N" in name} == {meant for _, meant in BROKEN}
