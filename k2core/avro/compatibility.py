"""May records of one Avro schema be read with another? The resolution rules of the Avro specification, on schemas alone.

Every complaint names the field and what is wrong with it. fastavro, which resolves only what it meets in data, is the
reference in a property test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from k2core.errors import SchemaError

PROMOTED = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}
"""Written type → what else it may be read as."""

Pair = tuple[str, str]


def unreadable(reader: Any, writer: Any) -> list[str]:
    """Why records of `writer` cannot be read with `reader`, a line each; empty where all of them can.

    Args:
        reader: A schema as JSON has it.
        writer: Another one.

    Raises:
        SchemaError: One of them is no Avro schema.
    """
    return list(dict.fromkeys(_Pairing(parsed(reader), parsed(writer)).complaints()))


def differences(before: Any, after: Any) -> list[str]:
    """What is otherwise in a record's schema, field by field; where all fields are the same, that something else is."""
    if before == after:
        return []
    old, new = ({field["name"]: field for field in one.get("fields", ())} for one in (before, after))
    found = [f"field {name} is gone" for name in old if name not in new]
    found += [f"field {name} is new" for name in new if name not in old]
    for name in (name for name in old if name in new):
        for key in sorted({*old[name], *new[name]}):
            if old[name].get(key) != new[name].get(key):
                found.append(f"field {name}: {key} was {old[name].get(key)!r}, is {new[name].get(key)!r}")
    if not found and list(old) != list(new):
        found = ["the order of its fields is another"]
    return found or ["name, aliases or documentation is another"]


def parsed(schema: Any) -> Any:
    """A schema with full names, proved to be one.

    Raises:
        SchemaError: It is none.
    """
    from fastavro.schema import SchemaParseException, UnknownType, parse_schema

    try:
        return parse_schema(schema, _write_hint=False)
    except (SchemaParseException, UnknownType, KeyError, TypeError, ValueError, AttributeError) as error:
        raise SchemaError(f"this is no Avro schema: {type(error).__name__}: {error}") from error


class _Pairing:
    """Walks two schemas side by side; a pair of named types is walked once, for they may contain themselves."""

    def __init__(self, reader: Any, writer: Any) -> None:
        self._reader, self._writer = reader, writer
        self._names = _named(reader), _named(writer)
        self._seen: set[Pair] = set()

    def complaints(self) -> Iterator[str]:
        yield from self._resolve(self._reader, self._writer, "")

    def _resolve(self, reader: Any, writer: Any, at: str) -> Iterator[str]:
        reader, writer = _full(reader, self._names[0]), _full(writer, self._names[1])
        if isinstance(writer, list):
            for branch in writer:
                yield from self._resolve(reader, branch, at)
        elif isinstance(reader, list):
            if not any(self._fits(branch, writer) for branch in reader):
                yield f"{at}written as {_word(writer)}, which {_word(reader)} does not contain"
        elif _kind(reader) != _kind(writer):
            if _kind(reader) not in PROMOTED.get(_kind(writer), ()):
                yield f"{at}written as {_word(writer)}, read as {_word(reader)}"
        else:
            yield from self._same_kind(reader, writer, at)

    def _fits(self, reader: Any, writer: Any) -> bool:
        seen = set(self._seen)
        fits = next(self._resolve(reader, writer, ""), None) is None
        self._seen = seen
        return fits

    def _same_kind(self, reader: Any, writer: Any, at: str) -> Iterator[str]:
        kind = _kind(reader)
        if kind == "array":
            yield from self._resolve(reader["items"], writer["items"], f"{at}items: ")
        elif kind == "map":
            yield from self._resolve(reader["values"], writer["values"], f"{at}values: ")
        elif kind in ("record", "enum", "fixed", "error"):
            yield from self._named_types(reader, writer, at)

    def _named_types(self, reader: Any, writer: Any, at: str) -> Iterator[str]:
        if not _same_name(reader, writer):
            yield f"{at}written as {writer['name']}, read as {reader['name']} without that name among its aliases"
            return
        if (pair := (reader["name"], writer["name"])) in self._seen:
            return
        self._seen.add(pair)
        if reader["type"] == "fixed" and reader["size"] != writer["size"]:
            yield f"{at}written with {writer['size']} bytes, read with {reader['size']}"
        if reader["type"] == "enum" and "default" not in reader:
            for symbol in (s for s in writer["symbols"] if s not in reader["symbols"]):
                yield f"{at}symbol {symbol} is gone, and there is no default"
        written = {field["name"]: field for field in writer.get("fields", ())}
        for field in reader.get("fields", ()):
            names = [field["name"], *field.get("aliases", ())]
            source = next((written[name] for name in names if name in written), None)
            if source is not None:
                yield from self._resolve(field["type"], source["type"], f"{at}field {field['name']}: ")
            elif "default" not in field:
                yield f"{at}field {field['name']}: was not written, and has no default"


def _named(schema: Any) -> dict[str, Any]:
    """Every named type that is defined within a schema."""
    found: dict[str, Any] = {}
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            if "name" in one and one.get("type") in ("record", "enum", "fixed", "error"):
                found[one["name"]] = one
            waiting += [one[key] for key in ("type", "items", "values") if isinstance(one.get(key), dict | list)]
            waiting += [field["type"] for field in one.get("fields", ())]
    return found


def _full(schema: Any, names: Mapping[str, Any]) -> Any:
    """A schema in place of its name; `{"type": X}` without anything of its own is X."""
    while True:
        if isinstance(schema, str) and schema in names:
            return names[schema]
        if isinstance(schema, dict) and isinstance(schema["type"], dict | list):
            schema = schema["type"]
        else:
            return schema


def _kind(schema: Any) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)


def _same_name(reader: Any, writer: Any) -> bool:
    """By the unqualified name, or by an alias of the reader's, which stands in its namespace unless it has one."""
    space = reader["name"].rpartition(".")[0]
    aliases = [a if "." in a or not space else f"{space}.{a}" for a in reader.get("aliases", ())]
    return _bare(reader["name"]) == _bare(writer["name"]) or writer["name"] in aliases


def _bare(name: str) -> str:
    return name.rpartition(".")[2]


def _word(schema: Any) -> str:
    if isinstance(schema, list):
        return f"a union of {', '.join(_word(branch) for branch in schema) or 'nothing'}"
    return str(schema.get("name") or schema["type"]) if isinstance(schema, dict) else str(schema)
