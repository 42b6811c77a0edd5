"""Who may ask: a key in `X-API-Key` or `Authorization: Bearer`; metrics also from the machine itself."""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from k2core.config.reach import is_loopback
from k2core.errors import QueryError


def require_key(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: refuse without a valid key.

    Raises:
        QueryError: 401.
    """
    auth = connection.app.state.auth
    if not auth.accepts(_key_of(connection)):
        connection.app.state.metrics.add("k2_http_auth_refusals_total")
        raise QueryError(
            "this needs a valid API key, in the header X-API-Key or as Authorization: Bearer: `k2 keys make NAME` makes"
            " one and prints it (so does the first `k2 up`), and K2_API_KEY sets one",
            kind="unauthorized",
            status=401,
        )


def require_key_or_loopback(connection: ASGIConnection[Any, Any, Any, Any], route: BaseRouteHandler) -> None:
    """Guard: the machine itself needs no key."""
    client = connection.client
    if client is None or not is_loopback(client.host):
        require_key(connection, route)


def _key_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    key = connection.headers.get("x-api-key")
    if key is not None:
        return key
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
