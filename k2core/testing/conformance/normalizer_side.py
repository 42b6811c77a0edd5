"""The MUST of a normalizer about words for a side that the exchange never said: refused, never guessed.

Where the side is printed is found by trying: a value is the side's where the word of another example, put in its place,
turns the record's side. So it is found by name, in a list without names, as text or as a number alike.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from k2core.testing.conformance.facts import needs
from k2core.testing.conformance.json_edit import JsonText, Value
from k2core.testing.conformance.normalizer_world import NormalizerFacts, Outcome, named

STRANGE = ("UNKNOWN", "", "x")
STRANGE_NUMBER = "7"
MOST_WORDS = 8
"""A place where more values than so many stand is no side's."""
MOST_PLACES = 4
"""So many values of one place are changed in one frame: one that holds a thousand trades says the same a thousand times."""
Place = tuple[str, ...]


class SidePlaces(NormalizerFacts):
    """Where the examples print a side."""

    def _sided(self) -> list[JsonText]:
        """Frames in which there are records with a side."""
        frames = [(frame, self._read([example.frame])) for example, frame in self._of_json()]
        return [frame for frame, found in frames if any(sides_of(found))]

    def _words_by_place(self) -> dict[Place, list[str]]:
        """What the examples print at each place, where it is few enough to be words."""
        words: dict[Place, list[str]] = {}
        for frame in self._sided():
            for value in _scalars(frame):
                here, raw = words.setdefault(_place(frame, value), []), _raw(frame, value)
                if raw not in here:
                    here.append(raw)
        return {place: raws for place, raws in words.items() if 1 < len(raws) <= MOST_WORDS}

    def _printed_sides(self, words: dict[Place, list[str]]) -> Iterator[tuple[JsonText, Value, int]]:
        """Where a side is printed, and the number of the record whose side it is."""
        for frame in self._sided():
            tried: Counter[Place] = Counter()
            for value in _scalars(frame):
                place = _place(frame, value)
                if place in words and tried[place] < MOST_PLACES:
                    tried[place] += 1
                    turned = self._turned(frame, value, words[place])
                    yield from () if turned is None else ((frame, value, turned),)

    def _turned(self, frame: JsonText, value: Value, words: list[str]) -> int | None:
        """Number of the record whose side turns with this value."""
        before = sides_of(self._read([frame.text.encode()]))
        for word in words:
            after = sides_of(self._read([frame.put_raw(value, word)]))
            if len(after) == len(before):
                for number, (one, other) in enumerate(zip(before, after, strict=True)):
                    if one != other:
                        return number
        return None


class SideTests(SidePlaces):
    """Words that are neither of the exchange's."""

    @needs("json_frames")
    def test_N19_an_unknown_side_is_refused_never_guessed(self) -> None:
        """A third word for the side makes a dead letter, or a record without a side; for a boolean, whatever is none."""
        words = self._words_by_place()
        for frame, value, number in self._printed_sides(words):
            for strange in _strange(frame, value, words[_place(frame, value)]):
                found = self._read([frame.put_raw(value, strange)])
                sides = sides_of(found)
                guessed = sides[number] if number < len(sides) else "lost"
                assert found.places == [0] or guessed is None, (
                    f"the side {named(value)} = {strange}, which is neither of the exchange's words, became {guessed}: "
                    f"refuse it (`RejectFrame`), {frame.text[:200]}"
                )


def sides_of(found: Outcome) -> list[str | None]:
    """The side of each record that has one, by data type."""
    return [row["side"] for rows in found.rows.values() for row in rows if "side" in row]


def _scalars(frame: JsonText) -> list[Value]:
    return [value for value in frame.values() if frame.text[value.start] not in "{["]


def _raw(frame: JsonText, value: Value) -> str:
    return frame.text[value.start : value.end]


def _place(frame: JsonText, value: Value) -> Place:
    """Names and numbers on the way to a value; the elements of a list of objects or lists are one place."""
    way: list[str] = []
    while (holder := value.parent) is not None:
        alike = not value.key and all(frame.text[part.start] in "{[" for part in holder.parts)
        way.append(value.key or ("*" if alike else str(holder.parts.index(value))))
        value = holder
    return tuple(way)


def _strange(frame: JsonText, value: Value, words: list[str]) -> list[str]:
    """JSON texts that are no side. A number that is long is no code for a side, but a signed one."""
    raw = _raw(frame, value)
    code = raw.lstrip("-").isdigit() and len(raw.lstrip("-")) == 1
    numbers = [STRANGE_NUMBER] if code or raw in ("true", "false") else []
    return [text for text in (*map(json.dumps, STRANGE), *numbers) if text not in words]
