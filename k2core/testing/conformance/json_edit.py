"""Where the values of a JSON text stand, so that the kit can change one and leave every other byte alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s,\]}]+')


@dataclass(slots=True)
class Value:
    """One value of a JSON text.

    Args:
        key: Name of the member that holds it; empty for elements of lists.
        start: Where it begins, in characters.
        end: Where it ends.
        member: From the member's name to the value's end; the value itself for elements of lists.
        parent: The object or list around it.
        parts: What an object or a list holds.
    """

    key: str
    start: int
    end: int
    member: int
    parent: Value | None = None
    parts: list[Value] = field(default_factory=list)


class JsonText:
    """A frame that is JSON.

    Args:
        frame: The frame.

    Raises:
        ValueError: It is not JSON.
    """

    def __init__(self, frame: bytes) -> None:
        self.text = frame.decode()
        json.loads(self.text)
        self.root = Value("", 0, 0, 0)
        self._value(self.root, _skip(self.text, 0))

    def values(self) -> Iterator[Value]:
        """Every value, an object before what it holds."""
        waiting = [self.root]
        while waiting:
            value = waiting.pop(0)
            yield value
            waiting = [*value.parts, *waiting]

    def objects(self) -> list[Value]:
        """Every object."""
        return [value for value in self.values() if self.text[value.start] == "{"]

    def members(self) -> list[Value]:
        """Every member of every object."""
        return [value for value in self.values() if value.parent and self.text[value.parent.start] == "{"]

    def scalar(self, value: Value) -> str | None:
        """A text or number as text without quotes; None for all else."""
        raw = self.text[value.start : value.end]
        if value.parts or raw[0] in "{[" or raw in ("true", "false", "null"):
            return None
        return str(json.loads(raw)) if raw[0] == '"' else raw

    def printing(self, number: Decimal) -> list[Value]:
        """Values that print a number, as text or as a JSON number."""
        return [value for value in self.values() if _number(self.scalar(value)) == number]

    def put(self, value: Value, raw: str) -> bytes:
        """The frame with another value here; quoted where it was quoted before."""
        return self.put_raw(value, json.dumps(raw) if self.text[value.start] == '"' else raw)

    def put_raw(self, value: Value, raw: str) -> bytes:
        """The frame with other JSON here."""
        return (self.text[: value.start] + raw + self.text[value.end :]).encode()

    def without(self, member: Value) -> bytes:
        """The frame without a member."""
        assert member.parent is not None
        at = member.parent.parts.index(member)
        start, end = member.member, member.end
        if at + 1 < len(member.parent.parts):
            end = member.parent.parts[at + 1].member
        elif at:
            start = member.parent.parts[at - 1].end
        return (self.text[:start] + self.text[end:]).encode()

    def with_member(self, holder: Value, raw: str) -> bytes:
        """The frame with one more member at the end of an object."""
        comma = "," if holder.parts else ""
        return (self.text[: holder.end - 1] + comma + raw + self.text[holder.end - 1 :]).encode()

    def _value(self, value: Value, at: int) -> int:
        value.start, opening = at, self.text[at]
        if opening not in "{[":
            found = _SCALAR.match(self.text, at)
            assert found is not None
            value.end = found.end()
            return value.end
        at = _skip(self.text, at + 1)
        while self.text[at] not in "}]":
            part = Value("", at, at, at, value)
            if opening == "{":
                found = _SCALAR.match(self.text, at)
                assert found is not None
                part.key = json.loads(found.group())
                at = _skip(self.text, self.text.index(":", found.end()) + 1)
            value.parts.append(part)
            at = _skip(self.text, self._value(part, at))
            if self.text[at] == ",":
                at = _skip(self.text, at + 1)
        value.end = at + 1
        return value.end


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _number(text: str | None) -> Decimal | None:
    try:
        number = Decimal(text) if text else None
    except InvalidOperation:
        return None
    return number if number is not None and number.is_finite() else None
