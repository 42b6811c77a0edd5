"""`create_app`: the Litestar application; every answer has a request id, every error is a problem document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Litestar
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.middleware import DefineMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from k2core.api import problems
from k2core.api.counted import Counted
from k2core.api.data_routes import Desk, data_routes
from k2core.api.keys import Auth
from k2core.api.ops_routes import ops_routes
from k2core.api.pool import QueryPool
from k2core.api.readiness import Readiness
from k2core.config.settings import ApiSettings
from k2core.degradation.board import LevelBoard
from k2core.errors import K2Error, QueryError
from k2core.query.service import QueryService
from k2core.telemetry.metrics import Metrics


def create_app(
    service: QueryService,
    auth: Auth,
    settings: ApiSettings,
    readiness: Readiness,
    metrics: Metrics,
    board: LevelBoard | None = None,
) -> Litestar:
    """The application.

    Args:
        service: Answers queries.
        auth: Knows the keys.
        settings: Limits.
        readiness: What `/readyz` says.
        metrics: Where requests are counted, and what `/metrics` shows.
        board: The writers' levels; somebody else has it look.
    """
    pool = QueryPool(service.settings, metrics)
    desk = Desk(service, pool, metrics)
    app = Litestar(
        route_handlers=[*data_routes(desk), *ops_routes(desk, readiness, board)],
        exception_handlers={
            QueryError: problems.of_query,
            K2Error: problems.of_k2,
            HTTPException: problems.of_http,
            Exception: problems.of_any,
        },
        middleware=[DefineMiddleware(_SmallBodies, most=settings.max_body_bytes)],
        before_send=[_with_request_id, *([_with_level(board)] if board is not None else [])],
        on_shutdown=[pool.close],
        openapi_config=None,
        state=State({"auth": auth, "metrics": metrics}),
        request_max_body_size=settings.max_body_bytes,
        logging_config=None,
    )
    app.asgi_handler = Counted(app.asgi_handler, metrics)  # around all of it: a path that nobody made is counted too
    return app


async def _with_request_id(message: Message, scope: Scope) -> None:
    if message["type"] == "http.response.start":
        name: Any = problems.request_id(scope).encode()
        message["headers"] = [*message.get("headers", ()), (b"x-request-id", name), (b"cache-control", b"no-store"),
                              (b"x-content-type-options", b"nosniff")]  # fmt: skip


def _with_level(board: LevelBoard) -> Callable[[Message, Scope], Awaitable[None]]:
    async def add(message: Message, scope: Scope) -> None:
        if message["type"] == "http.response.start":
            level = board.level.name.encode()
            message["headers"] = [*message.get("headers", ()), (b"x-k2-degradation", level)]

    return add


class _SmallBodies:
    """Refuses a request that announces a large body; none of k2's routes needs any."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            length = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
            if not length.isdigit() or int(length[:20]) > self._most:
                raise HTTPException(status_code=413)
        await self._app(scope, receive, send)
