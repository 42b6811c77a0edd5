"""The routes that tell of the service itself: health, metrics, statistics, snapshots, and what the API is."""

from __future__ import annotations

import asyncio
import html
from typing import Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from k2core.api import formats, openapi, params
from k2core.api.auth import require_key, require_key_or_loopback
from k2core.api.data_routes import Desk
from k2core.api.readiness import Readiness
from k2core.api.stats import stats
from k2core.degradation.board import LevelBoard
from k2core.degradation.levels import Level
from k2core.errors import QueryError
from k2core.interfaces.query import Snapshot
from k2core.telemetry.exposition import MEDIA_TYPE, exposition

HttpRequest = Request[Any, Any, Any]
MOST_SNAPSHOTS = 100


def _json(body: Any, status: int = 200) -> Response[bytes]:
    return Response(formats.to_json(body), status_code=status, media_type=formats.MEDIA_TYPES["json"])


def ops_routes(desk: Desk, readiness: Readiness, board: LevelBoard | None = None) -> list[HTTPRouteHandler]:
    """Routes besides those of data."""

    @get("/livez", name="livez")
    async def livez() -> Response[bytes]:
        """The process answers."""
        return _json({"status": "ok"})

    @get("/health", name="health")
    async def health() -> Response[bytes]:
        """The process answers, whether it is ready, and how much writers give up under load."""
        reasons = await asyncio.to_thread(readiness.reasons)
        return _json({"status": "degraded" if reasons else "ok", "reasons": reasons, "degradation": _levels(board)})

    @get("/readyz", name="readyz")
    async def readyz() -> Response[bytes]:
        """Whether queries are answered well: 503 with the reasons where not."""
        reasons = await asyncio.to_thread(readiness.reasons)
        if reasons:
            raise QueryError("; ".join(reasons), kind="not-ready", status=503, retry_after=1)
        return _json({"status": "ready"})

    @get("/metrics", name="metrics", guards=[require_key_or_loopback])
    async def metrics() -> Response[bytes]:
        """Prometheus' text format; of this process alone, as every process has a port of its own."""
        return Response(await asyncio.to_thread(exposition, desk.metrics), media_type=MEDIA_TYPE)

    @get("/v1/stats", name="stats", guards=[require_key])
    async def statistics(request: HttpRequest) -> Response[bytes]:
        """Rows, files, lag, holes, duplicates, dead letters and freshness per data type."""
        params.read_query(request.scope["query_string"], ())
        return _json(await desk.pool.run(lambda: stats(desk.service, readiness.statuses())))

    return [livez, health, readyz, metrics, statistics, _snapshots_route(desk), *_schema_routes(desk)]


def _levels(board: LevelBoard | None) -> dict[str, Any]:
    """The highest level of any writer, and those of tables that are not at NORMAL."""
    if board is None:
        return {"level": Level.NORMAL.name, "tables": {}}
    tables = {table: {"level": told.level.name, "cause": told.cause} for table, told in board.levels.items()}
    return {"level": board.level.name, "tables": tables}


def _snapshots_route(desk: Desk) -> HTTPRouteHandler:
    which = openapi.which_data_type(desk.service)

    @get("/v1/snapshots", name="snapshots", guards=[require_key])
    async def snapshots(request: HttpRequest) -> Response[bytes]:
        """Snapshots of a table that can be asked for with `snapshot_id`, newest first."""
        found = params.read_query(request.scope["query_string"], (which,))
        name = found.get("data_type", next(iter(desk.service.data_types)))
        listed = await desk.pool.run(lambda: _listed(desk, name))
        return _json({"data_type": name, "count": len(listed), "snapshots": listed})

    return snapshots


def _listed(desk: Desk, data_type: str) -> list[dict[str, Any]]:
    at: Snapshot | None = desk.service.snapshot(data_type)
    found: list[dict[str, Any]] = []
    while at is not None and at.id is not None and len(found) < MOST_SNAPSHOTS:
        found.append({"snapshot_id": at.id, "parent_id": at.parent_id, "timestamp_ms": at.timestamp_ms})
        try:
            at = desk.service.sources[data_type].snapshot(at.parent_id) if at.parent_id is not None else None
        except QueryError as error:
            if error.kind != "snapshot-gone":
                raise
            at = None
    return found


def _schema_routes(desk: Desk) -> list[HTTPRouteHandler]:
    document = openapi.document(desk.service)

    @get("/schema/openapi.json", name="openapi")
    async def schema_json() -> Response[bytes]:
        """The OpenAPI document."""
        return _json(document)

    @get(["/", "/schema"], name="schema")
    async def schema_page() -> Response[str]:
        """The API on one page, without scripts and without anything from elsewhere."""
        rows = "".join(_listing(path, methods["get"]) for path, methods in document["paths"].items())
        page = (
            "<!doctype html><html lang=en><meta charset=utf-8><title>k2</title>"
            "<style>body{font:15px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}code{font-size:14px}"
            "td{padding:.1rem 1rem .1rem 0;vertical-align:top}</style>"
            f"<h1>k2 API</h1><p>Machine-readable: <a href=/schema/openapi.json>openapi.json</a></p>{rows}"
        )
        return Response(page, media_type="text/html")

    return [schema_json, schema_page]


def _listing(path: str, operation: dict[str, Any]) -> str:
    cells = "".join(
        f"<tr><td><code>{html.escape(p['name'])}</code><td>{html.escape(p['description'])}"
        for p in operation.get("parameters", ())
    )
    return f"<h2><code>GET {html.escape(path)}</code></h2><p>{html.escape(operation['summary'])}<table>{cells}</table>"
