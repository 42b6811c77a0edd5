"""N19 finds where a side is printed, however it is: by name, in a list without names, as a letter, a number or a boolean."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from k2core.plugin import ChannelFacts, ConnectorFacts, FrameParser, RejectFrame, Trade
from k2core.testing import Example, NormalizerSuite
from tests.contract.standard import failing

N03 = "test_N03_the_side_is_the_takers"
N19 = "test_N19_an_unknown_side_is_refused_never_guessed"
T = 1_723_161_255_342
WORDS = {
    "letters": ("b", "s"),
    "capitals": ("BUY", "SELL"),
    "numbers": (0, 1),
    "signs": (1, -1),
    "truth": (True, False),
}
ROWS = [(7, "61837.63", "0.02", 0), (8, "61837.64", "0.03", 1), (9, "61837.65", "0.04", 0), (10, "61838.65", "0.05", 1)]


class ListParser(FrameParser):
    """Frames without names: `["AAA",[[7,"61837.63","0.02",1723161255342,"l","b"],…]]`, as old interfaces have them."""

    exchange = "pit"

    def __init__(self, side: Callable[[Any], Any]) -> None:
        self.side = side

    def parse(self, frame: bytes) -> Iterator[Trade]:
        symbol, rows = json.loads(frame)
        for number, price, quantity, time_ms, _, word in rows:
            yield Trade(symbol, price, quantity, self.side(word), number, time_ms * 1000, number)


class ListSuite(NormalizerSuite):
    """Two frames of two trades; the order's kind goes with the side by chance."""

    facts = ConnectorFacts(
        exchange="pit", asset_class="crypto", channels={"trades": ChannelFacts(ids="contiguous", side="taker")}
    )


def frame_of(words: tuple[Any, Any], rows: list[Any]) -> Example:
    printed = [[number, price, quantity, T, "lm"[side], words[side]] for number, price, quantity, side in rows]
    records = [
        {"symbol": "AAA", "trade_id": str(number), "price": price, "quantity": quantity,
         "side": ("buy", "sell")[side], "exchange_timestamp_us": T * 1000}
        for number, price, quantity, side in rows
    ]  # fmt: skip
    return Example(json.dumps(["AAA", printed]).encode(), {"trades": records})


def suite_of(words: tuple[Any, Any], rows: list[Any], side: Callable[[Any], Any]) -> type[NormalizerSuite]:
    def made(self: NormalizerSuite, **options: Any) -> ListParser:
        return ListParser(side)

    examples = [frame_of(words, rows[:2]), frame_of(words, rows[2:])]
    return type("SuiteOfLists", (ListSuite,), {"make": made, "examples": examples})


def looked_up(words: tuple[Any, Any]) -> Callable[[Any], Any]:
    def side(word: Any) -> str:
        for known, meant in zip(words, ("buy", "sell"), strict=True):
            if type(word) is type(known) and word == known:
                return meant
        raise RejectFrame("bad-side", repr(word)[:40])

    return side


@pytest.mark.parametrize("kind", WORDS)
def test_a_side_that_is_looked_up_passes(kind: str) -> None:
    assert failing(suite_of(WORDS[kind], ROWS, looked_up(WORDS[kind])), [N19]) == {}


@pytest.mark.parametrize("kind", WORDS)
def test_no_side_for_an_unknown_word_passes(kind: str) -> None:
    known = {(type(word), word): side for word, side in zip(WORDS[kind], ("buy", "sell"), strict=True)}
    assert failing(suite_of(WORDS[kind], ROWS, lambda word: known.get((type(word), word))), [N19]) == {}


@pytest.mark.parametrize("kind", WORDS)
@pytest.mark.parametrize("first", [0, 1])
def test_a_side_that_is_guessed_is_found(kind: str, first: int) -> None:
    words, sides = WORDS[kind], ("buy", "sell")
    found = failing(suite_of(words, ROWS, lambda word: sides[first if word == words[first] else 1 - first]), [N19])
    assert "neither of the exchange's words" in found[N19]


def test_a_number_that_is_typed_is_not_spared() -> None:
    """`type: int`, and whatever is not 0 was sold: text is refused, 7 is not."""

    def side(word: Any) -> str:
        if type(word) is not int:
            raise RejectFrame("wrong-type", "no number")
        return "sell" if word else "buy"

    assert set(failing(suite_of((0, 1), ROWS, side), [N19])) == {N19}


def test_a_sound_quantity_with_a_sign_passes() -> None:
    """Some exchanges print the side as the quantity's sign: any other number is as good a quantity."""

    class SignedParser(FrameParser):
        exchange = "pit"

        def parse(self, frame: bytes) -> Iterator[Trade]:
            symbol, number, price, signed = json.loads(frame)
            if type(signed) is not float:
                raise RejectFrame("bad-number", "quantity")
            side = "sell" if signed < 0 else "buy"
            yield Trade(symbol, price, str(abs(signed)), side, number, T * 1000, number)

    def made(self: NormalizerSuite, **options: Any) -> SignedParser:
        return SignedParser()

    examples = [
        Example(frame, frame_of((0, 1), [row]).records)
        for frame, row in ((b'["AAA",7,"61837.63",0.02]', ROWS[0]), (b'["AAA",8,"61837.64",-0.03]', ROWS[1]))
    ]
    assert failing(type("SuiteOfSigns", (ListSuite,), {"make": made, "examples": examples}), [N19]) == {}


@pytest.mark.parametrize("kind", ["letters", "capitals"])
@pytest.mark.parametrize("declared", ["taker", "maker"])
def test_whose_side_a_word_in_a_list_is_is_held_against_what_is_declared(kind: str, declared: str) -> None:
    """The examples of an author who took the maker's word for the taker's are wrong alike: the declaration is not."""
    channels = {"trades": ChannelFacts(ids="contiguous", side=declared)}
    facts = ConnectorFacts(exchange="pit", asset_class="crypto", channels=channels)
    suite = suite_of(WORDS[kind], ROWS, looked_up(WORDS[kind]))
    suite.facts = facts
    found = failing(suite, [N03])
    assert set(found) == (set() if declared == "taker" else {N03}), found
