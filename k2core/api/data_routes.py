"""The routes that answer with data: one per data type, bars and symbols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from k2core.api import formats, params
from k2core.api.auth import require_key
from k2core.api.pool import QueryPool
from k2core.api.problems import request_id
from k2core.api.watched import Watched
from k2core.errors import QueryError
from k2core.query.answer import Answer, RowsRequest
from k2core.query.service import QueryService
from k2core.query.times import parse_interval
from k2core.records.data_type import DataType
from k2core.telemetry.metrics import Metrics

HttpRequest = Request[Any, Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Desk:
    """What every data route works with."""

    service: QueryService
    pool: QueryPool
    metrics: Metrics

    async def serve(
        self, route: str, request: HttpRequest, work: Callable[[Watched], Response[bytes]]
    ) -> Response[bytes]:
        """Answer in a thread, count and log it."""
        clock = self.service.clock
        began, asked = clock.monotonic(), request.scope["query_string"].decode("latin-1")
        watched = Watched(route, request_id(request.scope), asked, self.metrics, self.service.settings.slow_s)
        try:
            response = await self.pool.run(lambda: work(watched))
            watched.ended(len(response.content))
            return response
        except QueryError as error:
            watched.refused(error)
            raise
        finally:
            watched.tell(clock.monotonic() - began)


def data_routes(desk: Desk) -> list[HTTPRouteHandler]:
    """Routes for the service's data types."""
    found = [_rows_route(desk, data_type) for data_type in desk.service.data_types.values()]
    if "trades" in desk.service.data_types:
        found.append(_bars_route(desk))
    return [*found, _symbols_route(desk)]


def _rows_route(desk: Desk, data_type: DataType) -> HTTPRouteHandler:
    @get(f"/v1/{data_type.name}", name=data_type.name, guards=[require_key])
    async def rows(request: HttpRequest) -> Response[bytes]:
        """Rows of one data type, hot and cold."""

        def work(watched: Watched) -> Response[bytes]:
            found = params.read_query(request.scope["query_string"], params.ROWS)
            kind = formats.format_of(found.get("format"), request.headers.get("accept", ""))
            asked = params.rows_request(found, data_type, desk.service.clock.now_us())
            answer = watched.answer = desk.service.rows(data_type.name, asked)
            return _respond(request, kind, data_type.name, found, asked, answer)

        return await desk.serve(data_type.name, request, work)

    return rows


def _bars_route(desk: Desk) -> HTTPRouteHandler:
    @get("/v1/ohlcv", name="ohlcv", guards=[require_key])
    async def ohlcv(request: HttpRequest) -> Response[bytes]:
        """Bars of trades, hot and cold."""

        def work(watched: Watched) -> Response[bytes]:
            found = params.read_query(request.scope["query_string"], params.BARS)
            kind = formats.format_of(found.get("format"), request.headers.get("accept", ""))
            asked = params.rows_request(found, desk.service.data_types["trades"], desk.service.clock.now_us())
            answer = watched.answer = desk.service.ohlcv(asked, parse_interval(found["interval"]))
            return _respond(request, kind, "bars", found, asked, answer)

        return await desk.serve("ohlcv", request, work)

    return ohlcv


def _symbols_route(desk: Desk) -> HTTPRouteHandler:
    names = list(desk.service.data_types)
    which = params.Param("data_type", {"type": "string", "enum": names}, f"Whose symbols; {names[0]} if not given.")

    @get("/v1/symbols", name="symbols", guards=[require_key])
    async def symbols(request: HttpRequest) -> Response[bytes]:
        """Symbols with their number of rows and first and last event time."""

        def work(watched: Watched) -> Response[bytes]:
            found = params.read_query(request.scope["query_string"], (which, *params.COUNTS))
            kind = formats.format_of(found.get("format"), request.headers.get("accept", ""))
            name = found.get("data_type", names[0])
            data_type = desk.service.data_types.get(name) or desk.service.data_types[names[0]]
            asked = params.rows_request(found, data_type, desk.service.clock.now_us())
            answer = watched.answer = desk.service.symbols(name, asked)
            return _respond(request, kind, "symbols", found, asked, answer)

        return await desk.serve("symbols", request, work)

    return symbols


def _respond(
    request: HttpRequest, kind: str, name: str, found: Mapping[str, str], asked: RowsRequest, answer: Answer
) -> Response[bytes]:
    following = answer.next_cursor
    next_url = f"{request.scope['path']}?{params.next_query(found, following)}" if following else None
    headers = formats.headers(answer, next_url)
    rows = formats.shown(answer.rows, "fields" in found)
    if kind != "json":
        return Response(formats.TABULAR[kind](rows), media_type=formats.MEDIA_TYPES[kind], headers=headers)
    body: dict[str, Any] = {}
    if answer.symbols is not None and name != "symbols":
        several = "symbols" in found or len(answer.symbols) > 1
        body |= {"symbols": answer.symbols} if several else {"symbol": answer.symbols[0]}
    body |= {"count": answer.rows.num_rows, name: formats.records(rows)}
    body |= {"next_cursor": answer.next_cursor, "next_url": next_url, **formats.facts(answer)}
    if params.flag(found, "explain"):
        body["explain"] = answer.explain
    return Response(formats.to_json(body), media_type=formats.MEDIA_TYPES["json"], headers=headers)
