"""Answers as bytes: JSON, NDJSON, CSV, Parquet and an Arrow stream, with the same column names in each."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pyarrow as pa

from k2core.errors import QueryError
from k2core.query.answer import Answer
from k2core.query.cursor import ends_of

MEDIA_TYPES = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
_ALIASES = {"*/*": "json", "application/*": "json", "text/*": "csv", "application/ndjson": "ndjson"}
UNSHOWN = ("id_epoch",)
"""Columns of tables that answers hold only where they are named: 0 until ids that start again are told apart."""
_ENCODER = msgspec.json.Encoder()


def format_of(named: str | None, accept: str) -> str:
    """The format that a request wants: by parameter, else by its Accept header, else JSON.

    Raises:
        QueryError: 422 for an unknown name, 406 where nothing accepted is offered.
    """
    if named is not None:
        if named not in MEDIA_TYPES:
            raise QueryError(f"format is {named[:40]!r}: it has to be one of {', '.join(MEDIA_TYPES)}")
        return named
    offered = {**{v: k for k, v in MEDIA_TYPES.items()}, **_ALIASES}
    wanted = sorted((_weight(part) for part in accept.split(",")), key=lambda w: -w[0])
    for weight, kind in wanted:
        if weight > 0 and kind in offered:
            return offered[kind]
    if not accept.strip():
        return "json"
    raise QueryError(
        f"nothing that is accepted is offered; there are: {', '.join(MEDIA_TYPES.values())}",
        kind="not-acceptable",
        status=406,
    )


def shown(rows: pa.Table, named: bool) -> pa.Table:
    """Rows as they are answered: with every column that was named, or else with those that tell something."""
    return rows if named else rows.drop_columns([c for c in UNSHOWN if c in rows.column_names])


def records(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows as dictionaries."""
    names = rows.column_names
    columns = [_values(rows.column(name)) for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _values(column: Any) -> list[Any]:
    """As `to_pylist`, which makes an object of Arrow's of every value first: many times as fast for numbers and words."""
    kind = column.type
    if pa.types.is_dictionary(kind) and not column.null_count:
        return [value for chunk in column.chunks for value in _words(chunk)]
    if (pa.types.is_integer(kind) or pa.types.is_float64(kind)) and not column.null_count:
        return list(column.to_numpy().tolist())
    found: list[Any] = column.to_pylist()
    return found


def _words(chunk: Any) -> list[Any]:
    distinct: list[Any] = chunk.dictionary.to_pylist()
    return [distinct[code] for code in chunk.indices.to_numpy().tolist()]


def facts(answer: Answer) -> dict[str, Any]:
    """What an answer says of itself."""
    return {
        "complete": answer.complete,
        "missing": [msgspec.structs.asdict(m) if isinstance(m, msgspec.Struct) else _dict(m) for m in answer.missing],
        "reproducible": answer.reproducible,
        "snapshot_id": answer.snapshot_id,
        "pin": ends_of(answer.pin),
        "warnings": list(answer.warnings),
    }


def headers(answer: Answer, next_url: str | None) -> dict[str, str]:
    """The same in headers, for formats whose body has no place for it."""
    found = {
        "X-K2-Complete": str(answer.complete).lower(),
        "X-K2-Reproducible": str(answer.reproducible).lower(),
        "X-K2-Snapshot": str(answer.snapshot_id or ""),
    }
    if answer.warnings:
        found["X-K2-Warning"] = " | ".join(answer.warnings).encode("ascii", "backslashreplace").decode()
    if answer.next_cursor and next_url:
        found |= {"X-K2-Next-Cursor": answer.next_cursor, "Link": f'<{next_url}>; rel="next"'}
    return found


def to_json(body: Mapping[str, Any]) -> bytes:
    """JSON; numbers print the shortest text that round-trips."""
    return _ENCODER.encode(body)


def _ndjson(rows: pa.Table) -> bytes:
    return _ENCODER.encode_lines(records(rows))


def _csv(rows: pa.Table) -> bytes:
    from pyarrow import csv

    out = io.BytesIO()
    csv.write_csv(_plain(rows), out)
    return out.getvalue()


def _parquet(rows: pa.Table) -> bytes:
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(_plain(rows), out, compression="zstd")
    return out.getvalue()


def _arrow(rows: pa.Table) -> bytes:
    out, rows = io.BytesIO(), _plain(rows)
    with pa.ipc.new_stream(out, rows.schema) as stream:
        stream.write_table(rows)
    return out.getvalue()


TABULAR: dict[str, Callable[[pa.Table], bytes]] = {
    "ndjson": _ndjson,
    "csv": _csv,
    "parquet": _parquet,
    "arrow": _arrow,
}


def _plain(rows: pa.Table) -> pa.Table:
    """Without dictionaries: those of the tail also hold words that no row of the answer has."""
    fields = [pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in rows.schema]
    return rows.cast(pa.schema(fields))


def _dict(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _weight(part: str) -> tuple[float, str]:
    kind, *rest = part.split(";")
    weight = next((r.strip()[2:] for r in rest if r.strip().startswith("q=")), "1")
    try:
        return float(weight), kind.strip().lower()
    except ValueError:
        return 0.0, kind.strip().lower()
