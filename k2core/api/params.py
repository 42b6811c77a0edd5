"""The parameters of the HTTP API, declared once: what is read from a request, and what the OpenAPI document says."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from k2core.errors import QueryError
from k2core.interfaces.broker import Partition
from k2core.query.answer import RowsRequest
from k2core.query.times import ceil_ms, parse_time
from k2core.records.data_type import DataType

_INTEGER = re.compile(r"-?[0-9]{1,18}")
LONGEST_NAME = 64
MOST_NAMES = 100
LONGEST_CURSOR = 49_152
"""Longer than that of any question that fits into the head of a request (64 KB)."""
LONG_QUESTION = 2_000
NOT_PART_OF_THE_QUESTION = ("cursor", "limit", "format", "explain")


@dataclass(frozen=True, slots=True)
class Param:
    """One query parameter: its name, JSON schema and meaning."""

    name: str
    schema: Mapping[str, Any]
    doc: str
    required: bool = False


_TEXT = {"type": "string", "minLength": 1}
_NAMES = {"type": "string", "minLength": 1, "maxLength": MOST_NAMES * LONGEST_NAME}
FORMATS = ("json", "ndjson", "csv", "parquet", "arrow")

SYMBOL = Param("symbol", {**_TEXT, "maxLength": LONGEST_NAME}, "One symbol, spelled as its exchange spells it.")
SYMBOLS = Param("symbols", _NAMES, "Several symbols, separated by commas.")
EXCHANGE = Param("exchange", _NAMES, "One exchange, or several separated by commas.")
START = Param("start", _TEXT, "First event time, inclusive: ISO 8601, epoch in s, ms, us or ns, `-15m` or `now`.")
END = Param("end", _TEXT, "End of event time, exclusive; written as `start`.")
ORDER = Param(
    "order", {"type": "string", "enum": ["asc", "desc"]}, "By event time; newest first (`desc`) if not given."
)
LIMIT = Param("limit", {"type": "integer", "minimum": 1}, "Rows on a page, at most.")
CURSOR = Param("cursor", {**_TEXT, "maxLength": LONGEST_CURSOR}, "`next_cursor` of the page before.")
AS_OF = Param("as_of", _TEXT, "Only what the log had accepted by then; written as `start`.")
SNAPSHOT = Param("snapshot_id", {"type": "integer"}, "Only the rows of this snapshot of the table.")
FIELDS = Param("fields", _TEXT, "Columns wanted, separated by commas; all if not given.")
FORMAT = Param("format", {"type": "string", "enum": list(FORMATS)}, "Comes before the Accept header.")
EXPLAIN = Param("explain", {"type": "string", "enum": ["true", "false"]}, "Say what was read and what was pruned.")
MIN_OFFSET = Param(
    "min_offset", _TEXT, "Wait until the log is read up to here: TOPIC:PARTITION:NEXT_OFFSET, by commas."
)
INTERVAL = Param(
    "interval",
    {**_TEXT, "pattern": "^[0-9]{1,9}(ms|s|m|h|d)$"},
    "Length of a bar: a number and ms, s, m, h or d, as 1m.",
    required=True,
)

ROWS = (SYMBOL, SYMBOLS, EXCHANGE, START, END, ORDER, LIMIT, CURSOR, AS_OF, SNAPSHOT, FIELDS, FORMAT, EXPLAIN,
        MIN_OFFSET)  # fmt: skip
BARS = (INTERVAL, SYMBOL, SYMBOLS, EXCHANGE, START, END, ORDER, LIMIT, AS_OF, FORMAT, EXPLAIN)
COUNTS = (EXCHANGE, START, END, AS_OF, FORMAT, EXPLAIN)


def read_query(raw: bytes, params: Sequence[Param]) -> dict[str, str]:
    """Parameters of a request by name.

    Raises:
        QueryError: One is unknown, given twice, empty or missing.
    """
    known = [p.name for p in params]
    try:
        pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=100, errors="strict")
    except ValueError:
        raise QueryError("the query string cannot be read: at most 100 parameters, escaped as UTF-8") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            raise QueryError(_unknown(name, known), kind="unknown-parameter")
        if name in found:
            raise QueryError(f"{name} is given twice; separate several values by commas where that is allowed")
        if not value or "\x00" in value:
            raise QueryError(f"{name} is empty: give it a value, or leave it out")
        found[name] = value
    for param in params:
        if param.required and param.name not in found:
            raise QueryError(f"{param.name} is missing: {param.doc}")
    return found


def rows_request(found: Mapping[str, str], data_type: DataType, now_us: int) -> RowsRequest:
    """What a request asks for.

    Raises:
        QueryError: A value cannot be read.
    """
    if "as_of" in found and "snapshot_id" in found:
        raise QueryError("as_of and snapshot_id exclude each other: give one of them")
    times = {n: parse_time(found[n], now_us, n) for n in ("start", "end", "as_of") if n in found}
    words = sorted(f"{k}={v}" for k, v in found.items() if k not in NOT_PART_OF_THE_QUESTION)
    return RowsRequest(
        symbols=_symbols(found), exchanges=_names(found, "exchange"), start_ms=ceil_ms(times.get("start")),
        end_ms=ceil_ms(times.get("end")), descending=_choice(found, "order", ("desc", "asc")) == "desc",
        limit=integer(found, "limit"), columns=_columns(found, data_type), as_of_us=times.get("as_of"),
        snapshot_id=integer(found, "snapshot_id"), cursor=_cursor(found), min_offset=_offsets(found),
        asked="&".join(words),
    )  # fmt: skip


def next_query(found: Mapping[str, str], cursor: str) -> str:
    """The query string of the next page: the question and its cursor; of a long question, which the cursor holds as
    well, the cursor and what may differ from page to page.
    """
    words = {k: v for k, v in found.items() if k != "cursor"}
    if len(urlencode(words)) > LONG_QUESTION:
        words = {k: v for k, v in words.items() if k in NOT_PART_OF_THE_QUESTION}
    return urlencode(words | {"cursor": cursor})


def integer(found: Mapping[str, str], name: str) -> int | None:
    """A whole number, None where it is not given."""
    text = found.get(name)
    if text is None:
        return None
    if not _INTEGER.fullmatch(text):
        raise QueryError(f"{name} is {text[:40]!r}: it has to be a whole number")
    return int(text)


def flag(found: Mapping[str, str], name: str) -> bool:
    """`true` or `false`; False where it is not given."""
    return _choice(found, name, ("false", "true")) == "true"


def _choice(found: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = found.get(name, choices[0])
    if value not in choices:
        raise QueryError(f"{name} is {value[:40]!r}: it has to be one of {', '.join(sorted(choices))}")
    return value


def _symbols(found: Mapping[str, str]) -> tuple[str, ...] | None:
    if "symbol" in found and "symbols" in found:
        raise QueryError("symbol and symbols exclude each other: give one of them")
    if "symbol" in found:
        _check_name("symbol", found["symbol"])
        return (found["symbol"],)
    return _names(found, "symbols")


def _names(found: Mapping[str, str], name: str) -> tuple[str, ...] | None:
    if name not in found:
        return None
    names = tuple(dict.fromkeys(found[name].split(",")))
    if len(names) > MOST_NAMES:
        raise QueryError(f"{name} names {len(names)}, more than {MOST_NAMES} at once: ask in several requests")
    for each in names:
        _check_name(name, each)
    return names


def _check_name(name: str, value: str) -> None:
    if not 1 <= len(value) <= LONGEST_NAME:
        raise QueryError(
            f"{name} has a name of {len(value)} characters: names have 1 to {LONGEST_NAME}; /v1/symbols lists them"
        )


def _columns(found: Mapping[str, str], data_type: DataType) -> tuple[str, ...] | None:
    if "fields" not in found:
        return None
    known = data_type.table_schema.names
    for name in (names := tuple(dict.fromkeys(found["fields"].split(",")))):
        if name not in known:
            raise QueryError(f"fields: {data_type.name} has no column {name[:40]!r}{_nearest(name, known)}")
    return names


def _cursor(found: Mapping[str, str]) -> str | None:
    cursor = found.get("cursor")
    if cursor is not None and len(cursor) > LONGEST_CURSOR:
        raise QueryError("this cursor cannot be used: it is not one that k2 made", kind="invalid-cursor")
    return cursor


def _offsets(found: Mapping[str, str]) -> dict[Partition, int]:
    offsets: dict[Partition, int] = {}
    for place in found.get("min_offset", "").split(",") if "min_offset" in found else ():
        topic, _, rest = place.partition(":")
        partition, _, offset = rest.partition(":")
        if (
            not (topic and len(partition) < 6 and _INTEGER.fullmatch(partition) and _INTEGER.fullmatch(offset))
            or "-" in rest
        ):
            raise QueryError(f"min_offset is {place[:80]!r}: write TOPIC:PARTITION:NEXT_OFFSET, several by commas")
        offsets[topic, int(partition)] = int(offset)
    return offsets


def _unknown(name: str, known: list[str]) -> str:
    return f"there is no parameter {name[:40]!r} here{_nearest(name, known)}; there are: {', '.join(known) or 'none'}"


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name[:40], known, 1)
    return f" (did you mean {near[0]}?)" if near else ""
