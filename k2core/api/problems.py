"""Every error as an RFC 9457 problem document, with a stable `type` and a detail that says what to do."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from k2core.errors import K2Error, QueryError, Transient

log = logging.getLogger("k2.serve")

TYPE = "urn:k2:problem:"
MEDIA_TYPE = "application/problem+json"
_KINDS = {404: "not-found", 405: "method-not-allowed", 413: "too-large", 400: "bad-request"}
_DETAILS = {
    404: "there is nothing at this path; /schema lists what there is",
    405: "this path takes GET alone",
    413: "the request's body is larger than [api] max_body_bytes; requests to k2 need no body",
}
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def request_id(scope: Any) -> str:
    """The request's id: the caller's own `X-Request-ID` where it is fit, else a new one; the same all along."""
    state = scope.setdefault("state", {})
    if "k2_request_id" not in state:
        given = next((v.decode("latin-1") for k, v in scope.get("headers", ()) if k == b"x-request-id"), "")
        state["k2_request_id"] = given if _ID.fullmatch(given) else secrets.token_hex(8)
    found: str = state["k2_request_id"]
    return found


def problem(
    request: Request[Any, Any, Any], status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    """A problem document."""
    body = {
        "type": TYPE + kind,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.scope["path"][:256],
        "request_id": request_id(request.scope),
    }
    return Response(msgspec.json.encode(body), status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def of_query(request: Request[Any, Any, Any], error: QueryError) -> Response[bytes]:
    """A query that cannot be answered as asked."""
    headers = {} if error.retry_after is None else {"Retry-After": str(max(1, round(error.retry_after)))}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(request, error.status, error.kind, str(error), headers)


def of_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What the framework itself refuses."""
    status = error.status_code
    kind, detail = _KINDS.get(status, f"http-{status}"), _DETAILS.get(status, error.detail)
    return problem(request, status, kind, detail, error.headers)


def of_k2(request: Request[Any, Any, Any], error: K2Error) -> Response[bytes]:
    """A part that k2 needs is away or broken."""
    log.error("query failed request=%s error=%s: %s", request_id(request.scope), type(error).__name__, error)
    if isinstance(error, Transient):
        wait = str(max(1, round(error.retry_after or 1)))
        return problem(request, 503, "unavailable", str(error), {"Retry-After": wait})
    return problem(request, 500, "internal", f"{type(error).__name__}: {error}")


def of_any(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A fault of k2's own."""
    name = request_id(request.scope)
    log.error("request failed request=%s", name, exc_info=error)
    return problem(request, 500, "internal", f"k2 failed on this request; its log says why, under request {name}")
