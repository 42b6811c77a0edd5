"""Whether a schema reads another's records: as fastavro finds it on data that takes every branch."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from k2core.avro.compatibility import differences, unreadable
from k2core.errors import SchemaError
from k2core.records.builtin import BUILTIN_DATA_TYPES, TRADES

PRIMITIVES = {
    "int": 7, "long": 8, "float": 0.5, "double": 0.25, "string": "text", "bytes": b"bytes", "boolean": True, "null": None
}  # fmt: skip
DEFAULTS = {**PRIMITIVES, "bytes": "bytes"}


def types(path: str, depth: int) -> st.SearchStrategy[Any]:
    """A type of a field; named ones are called for where they stand, so that both schemas have the same names there."""
    plain = st.sampled_from(list(PRIMITIVES))
    symbols = st.lists(st.sampled_from(["X", "Y", "Z"]), min_size=1, unique=True)
    enums = st.fixed_dictionaries({"type": st.just("enum"), "name": st.just(f"E{path}"), "symbols": symbols})
    fixed = st.fixed_dictionaries(
        {"type": st.just("fixed"), "name": st.just(f"F{path}"), "size": st.sampled_from([2, 3])}
    )
    unions = st.lists(plain, min_size=1, max_size=3, unique=True)
    leaves = plain | enums | fixed | unions
    if not depth:
        return leaves
    inner = types(path + "i", depth - 1)
    arrays = st.fixed_dictionaries({"type": st.just("array"), "items": inner})
    maps = st.fixed_dictionaries({"type": st.just("map"), "values": inner})
    return leaves | arrays | maps | records(path + "r", depth - 1)


@st.composite
def records(draw: st.DrawFn, path: str = "", depth: int = 2) -> Any:
    fields = []
    for name in draw(st.lists(st.sampled_from("abc"), min_size=1, unique=True)):
        field: dict[str, Any] = {"name": name, "type": draw(types(path + name, depth))}
        if isinstance(field["type"], str) and draw(st.booleans()):
            field["default"] = DEFAULTS[field["type"]]
        if name == "c" and draw(st.booleans()):
            field |= {"name": "d", "aliases": ["c"]}
        fields.append(field)
    number, aliases = draw(st.sampled_from([(1, []), (2, []), (2, ["R1"])]))
    return {"type": "record", "name": f"R{number}{path}", "aliases": [f"{a}{path}" for a in aliases], "fields": fields}


def data(schema: Any) -> Iterator[Any]:
    """Enough data for every branch of every union, and every symbol, to be met at least once."""
    if isinstance(schema, list):
        for branch in schema:
            yield from data(branch)
    elif isinstance(schema, str):
        yield PRIMITIVES[schema]
    elif schema["type"] == "enum":
        yield from schema["symbols"]
    elif schema["type"] == "fixed":
        yield b"x" * schema["size"]
    elif schema["type"] == "array":
        yield list(data(schema["items"]))
    elif schema["type"] == "map":
        yield {str(n): one for n, one in enumerate(data(schema["values"]))}
    else:
        columns = [list(data(field["type"])) for field in schema["fields"]]
        names = [field["name"] for field in schema["fields"]]
        for row in itertools.islice(itertools.zip_longest(*columns), 50):
            yield {n: cell if cell in c else c[0] for n, cell, c in zip(names, row, columns, strict=True)}


def reads_all(reader: Any, writer: Any) -> bool:
    told, wanted = fastavro.parse_schema(writer), fastavro.parse_schema(reader)
    for datum in data(writer):
        file = io.BytesIO()
        fastavro.schemaless_writer(file, told, datum)
        file.seek(0)
        try:
            fastavro.schemaless_reader(file, told, wanted)
        except Exception:  # noqa: BLE001 - fastavro refuses with many kinds of error
            return False
    return True


@settings(max_examples=250, deadline=None)
@given(records(), records())
def test_it_says_what_fastavro_does(reader: Any, writer: Any) -> None:
    said = unreadable(reader, writer)
    event("readable" if not said else "unreadable")
    assert reads_all(reader, writer) == (not said), said


SIMPLE: list[Any] = [
    *PRIMITIVES,
    *({"type": "enum", "name": "E", "symbols": list(symbols)} for symbols in ("X", "XY", "YX", "Z")),
    {"type": "enum", "name": "E", "symbols": ["X"], "default": "X"},
    {"type": "enum", "name": "Other", "symbols": ["X"]},
    *({"type": "fixed", "name": name, "size": size} for name, size in (("F", 2), ("F", 3), ("G", 2))),
    *([["null", one] for one in ("long", "double", "string")]),
    ["int", "string"],
    ["null"],
    {"type": "array", "items": "int"},
    {"type": "array", "items": ["null", "long"]},
    {"type": "map", "values": "int"},
]


@pytest.mark.parametrize("writer", SIMPLE, ids=str)
def test_every_pair_of_simple_types(writer: Any) -> None:
    def record(kind: Any) -> Any:
        return {"type": "record", "name": "R", "fields": [{"name": "a", "type": kind}]}

    wrong = [r for r in SIMPLE if reads_all(record(r), record(writer)) != (not unreadable(record(r), record(writer)))]
    assert wrong == []


@pytest.mark.parametrize("kind", BUILTIN_DATA_TYPES, ids=lambda kind: kind.name)
def test_every_version_reads_all_before_it(kind: Any) -> None:
    for newer in range(1, kind.versions + 1):
        for older in range(1, newer + 1):
            assert unreadable(kind.avro_schema(newer), kind.avro_schema(older)) == []


def test_it_says_which_field_and_why() -> None:
    before, after = TRADES.avro_schema(1), TRADES.avro_schema(2)
    del after["aliases"]
    assert unreadable(after, before) == [
        "written as k2.MarketDataV1, read as k2.MarketDataV2 without that name among its aliases"
    ]
    after = {**TRADES.avro_schema(2), "fields": [*before["fields"][:-1], {"name": "quantity", "type": "string"}]}
    after["fields"].append({"name": "venue", "type": "string"})
    assert unreadable(after, before) == [
        "field quantity: written as double, read as string",
        "field venue: was not written, and has no default",
    ]
    assert differences(before, {**before, "fields": after["fields"]}) == [
        "field venue is new",
        "field quantity: type was 'double', is 'string'",
    ]


def test_a_type_that_contains_itself_ends() -> None:
    tree = {"type": "record", "name": "Tree", "fields": [{"name": "left", "type": ["null", "Tree"]}]}
    assert unreadable(tree, tree) == []


@pytest.mark.parametrize("schema", [{"type": "recrod"}, "no-type", {"type": "enum", "name": "E"}, 5])
def test_what_is_no_schema_is_refused(schema: Any) -> None:
    with pytest.raises(SchemaError, match="no Avro schema"):
        unreadable(schema, "int")
