"""The OpenAPI document, from the declared parameters and data types; served from here, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from k2core import __version__
from k2core.api import params
from k2core.api.formats import MEDIA_TYPES, UNSHOWN
from k2core.api.problems import MEDIA_TYPE
from k2core.query.bars import BARS
from k2core.query.service import QueryService
from k2core.query.symbols import SYMBOLS
from k2core.records.data_type import DataType

_JSON = {"string": "string", "double": "number", "int64": "integer", "int32": "integer", "date32[day]": "string"}
_KEY: list[dict[str, list[str]]] = [{"key": []}, {"bearer": []}]
_ERRORS = {
    "400": "The request cannot be read.",
    "401": "No valid key.",
    "404": "There is nothing here.",
    "406": "Nothing that is accepted is offered.",
    "410": "The snapshot is gone.",
    "422": "A parameter is wrong; the detail says which and why.",
    "503": "Busy, or a part is away; Retry-After says when to come again.",
}


def which_data_type(service: QueryService) -> params.Param:
    """The parameter `data_type`."""
    names = list(service.data_types)
    return params.Param("data_type", {"type": "string", "enum": names}, f"Whose; {names[0]} if not given.")


def document(service: QueryService) -> dict[str, Any]:
    """The whole document."""
    which = which_data_type(service)
    paths: dict[str, Any] = {}
    for name, data_type in service.data_types.items():
        paths[f"/v1/{name}"] = _data(name, f"Rows: {data_type.summary}.", params.ROWS, name, _row(data_type))
    if "trades" in service.data_types:
        paths["/v1/ohlcv"] = _data("ohlcv", "Bars of trades.", params.BARS, "bars", _columns(BARS))
    symbols = (which, *params.COUNTS)
    paths["/v1/symbols"] = _data("symbols", "Symbols and their rows.", symbols, "symbols", _columns(SYMBOLS))
    paths["/v1/stats"] = _plain("stats", "Figures per data type.", (), secured=True)
    paths["/v1/snapshots"] = _plain("snapshots", "Snapshots of a table.", (which,), secured=True)
    for name in ("health", "livez", "readyz"):
        paths[f"/{name}"] = _plain(name, f"Whether the service is well ({name}).", (), secured=False)
    return {
        "openapi": "3.1.0",
        "info": {"title": "k2", "version": __version__, "summary": "Market data: the newest tick and the history."},
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "schemas": {"Problem": _problem()},
        },
    }


def _data(name: str, summary: str, allowed: Sequence[params.Param], rows: str, row: dict[str, Any]) -> dict[str, Any]:
    body = {
        "type": "object",
        "required": ["count", rows, "complete", "missing", "reproducible", "pin", "warnings"],
        "properties": {
            "symbol": {"type": "string"},
            "symbols": {"type": "array", "items": {"type": "string"}},
            "count": {"type": "integer"},
            rows: {"type": "array", "items": row},
            "next_cursor": {"type": ["string", "null"]},
            "next_url": {"type": ["string", "null"]},
            "complete": {"type": "boolean"},
            "missing": {"type": "array", "items": {"type": "object"}},
            "reproducible": {"type": "boolean"},
            "snapshot_id": {"type": ["integer", "null"]},
            "pin": {"type": "object"},
            "warnings": {"type": "array", "items": {"type": "string"}},
            "explain": {"type": "object"},
        },
    }
    if rows == "symbols":
        del body["properties"]["symbol"]  # type: ignore[attr-defined]
        body["properties"]["symbols"] = {"type": "array", "items": row}  # type: ignore[index]
    content = {media: {"schema": body} if kind == "json" else {} for kind, media in MEDIA_TYPES.items()}
    return {"get": _operation(name, summary, allowed, content, secured=True)}


def _plain(name: str, summary: str, allowed: Sequence[params.Param], *, secured: bool) -> dict[str, Any]:
    content = {MEDIA_TYPES["json"]: {"schema": {"type": "object"}}}
    return {"get": _operation(name, summary, allowed, content, secured=secured)}


def _operation(
    name: str, summary: str, allowed: Sequence[params.Param], content: dict[str, Any], *, secured: bool
) -> dict[str, Any]:
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [
            {"name": p.name, "in": "query", "required": p.required, "schema": dict(p.schema), "description": p.doc}
            for p in allowed
        ],
        "responses": {
            "200": {"description": "The answer.", "content": content},
            **{status: {"description": text, "content": problem} for status, text in _ERRORS.items()},
        },
        "security": _KEY if secured else [],
    }


def _row(data_type: DataType) -> dict[str, Any]:
    return _columns(f for f in data_type.table_schema if f.name not in UNSHOWN)


def _columns(schema: Any) -> dict[str, Any]:
    fields = {}
    for field in schema:
        kind = str(getattr(field.type, "value_type", field.type))
        plain = _JSON.get(kind, "string")
        fields[field.name] = {"type": [plain, "null"] if field.nullable else plain}
    return {"type": "object", "properties": fields}


def _problem() -> dict[str, Any]:
    texts = {name: {"type": "string"} for name in ("type", "title", "detail", "instance", "request_id")}
    return {"type": "object", "required": [*texts, "status"], "properties": {**texts, "status": {"type": "integer"}}}
