"""Several records in one frame: made of examples that hold one each, where the exchange sends lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from k2core.testing.conformance.examples import Example
from k2core.testing.conformance.json_edit import JsonText, Value


def several(examples: Sequence[Example]) -> Iterator[Example]:
    """Frames of one example with the list elements of another one behind its own."""
    lists = [(example, *found) for example in examples if (found := _elements(example))]
    for one, frame, elements in lists:
        for other, text, more in lists:
            if other is not one and _alike(one, other) and _key(elements) == _key(more):
                joined = ",".join(text.text[element.start : element.end] for element in more)
                at = elements[-1].end
                merged = f"{frame.text[:at]},{joined}{frame.text[at:]}".encode()
                yield Example(merged, {name: [*one.records[name], *other.records[name]] for name in one.records})
                break


def _elements(example: Example) -> tuple[JsonText, Sequence[Value]] | None:
    """The innermost list with one object for each record, in which that record's own id stands."""
    frame, wanted = JsonText(example.frame), [record for some in example.records.values() for record in some]
    for holder in reversed(list(frame.values())):
        parts = holder.parts
        fits = frame.text[holder.start] == "[" and 0 < len(parts) == len(wanted)
        if fits and all(_names(frame, part, record) for part, record in zip(parts, wanted, strict=True)):
            return frame, parts
    return None


def _names(frame: JsonText, element: Value, record: Mapping[str, Any]) -> bool:
    own = {str(record[key]) for key in ("trade_id", "update_id") if key in record}
    return frame.text[element.start] == "{" and any(frame.scalar(part) in own for part in element.parts)


def _alike(one: Example, other: Example) -> bool:
    """Whether both are of one data type and one symbol."""
    said = [{(name, r["symbol"]) for name, some in e.records.items() for r in some} for e in (one, other)]
    return said[0] == said[1] and len(said[0]) == 1


def _key(elements: Sequence[Value]) -> str:
    holder = elements[0].parent
    return holder.key if holder is not None else ""
