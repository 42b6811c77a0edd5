"""Bad input through real HTTP: always a problem document that says what to do."""

from __future__ import annotations

import pytest

LONG = "X" * 10_000

REFUSED = [
    ("/v1/trades?symbl=BTCUSDT", 422, "unknown-parameter", "did you mean symbol?"),
    ("/v1/trades?start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z", 422, "reversed-range", "before end"),
    ("/v1/trades?start=now&end=now", 422, "reversed-range", "before end"),
    ("/v1/trades?limit=0", 422, "invalid-parameter", "between 1 and"),
    ("/v1/trades?limit=-1", 422, "invalid-parameter", "between 1 and"),
    ("/v1/trades?limit=999999999", 422, "invalid-parameter", "between 1 and"),
    ("/v1/trades?limit=--5", 422, "invalid-parameter", "whole number"),
    ("/v1/trades?snapshot_id=--1", 422, "invalid-parameter", "whole number"),
    ("/v1/trades?min_offset=a:%C2%B2:1", 422, "invalid-parameter", "TOPIC:PARTITION"),
    ("/v1/trades?min_offset=a:1:-2", 422, "invalid-parameter", "TOPIC:PARTITION"),
    ("/v1/trades?limit=ten", 422, "invalid-parameter", "whole number"),
    ("/v1/trades?limit=" + "9" * 400, 422, "invalid-parameter", "whole number"),
    ("/v1/trades?limit=1&limit=2", 422, "invalid-parameter", "twice"),
    ("/v1/trades?cursor=AAAA", 422, "invalid-cursor", "without `cursor`"),
    ("/v1/trades?cursor=" + "A" * 20_000, 422, "invalid-cursor", "cannot be used"),
    ("/v1/trades?cursor=%FF", 422, "invalid-parameter", "UTF-8"),
    (f"/v1/trades?symbol={LONG}", 422, "invalid-parameter", "10000 characters"),
    (f"/v1/trades?symbols={LONG}", 422, "invalid-parameter", "/v1/symbols"),
    ("/v1/trades?symbols=" + ",".join(map(str, range(200))), 422, "invalid-parameter", "several requests"),
    ("/v1/trades?symbols=A,,B", 422, "invalid-parameter", "1 to 64"),
    ("/v1/trades?symbol=A&symbols=B", 422, "invalid-parameter", "exclude each other"),
    ("/v1/trades?symbol=", 422, "invalid-parameter", "leave it out"),
    ("/v1/trades?symbol=%00", 422, "invalid-parameter", "leave it out"),
    ("/v1/trades?start=yesterday", 422, "invalid-parameter", "ISO 8601"),
    ("/v1/trades?start=12345", 422, "invalid-parameter", "10 digits"),
    ("/v1/trades?start=" + "9" * 40, 422, "invalid-parameter", "10 digits"),
    ("/v1/trades?order=up", 422, "invalid-parameter", "asc, desc"),
    ("/v1/trades?format=xml", 422, "invalid-parameter", "parquet"),
    ("/v1/trades?explain=1", 422, "invalid-parameter", "true"),
    ("/v1/trades?fields=prise", 422, "invalid-parameter", "did you mean price?"),
    ("/v1/trades?as_of=2999-01-01", 422, "future-time", "future"),
    ("/v1/trades?as_of=now&snapshot_id=1", 422, "invalid-parameter", "exclude each other"),
    ("/v1/trades?snapshot_id=77", 410, "snapshot-gone", "nearest"),
    ("/v1/trades?min_offset=x", 422, "invalid-parameter", "TOPIC:PARTITION"),
    ("/v1/ohlcv", 422, "invalid-parameter", "interval is missing"),
    ("/v1/ohlcv?interval=5", 422, "invalid-parameter", "1m or 4h"),
    ("/v1/ohlcv?interval=0m", 422, "invalid-parameter", "1m or 4h"),
    ("/v1/ohlcv?interval=1ms&start=2020-01-01&end=2026-01-01", 422, "too-many-bars", "longer interval"),
    ("/v1/symbols?data_type=candles", 404, "unknown-data-type", "quotes"),
    ("/v1/stats?x=1", 422, "unknown-parameter", "no parameter"),
    ("/v1/candles", 404, "not-found", "/schema"),
    ("/v1/trades/1", 404, "not-found", "/schema"),
    ("/../../etc/passwd", 404, "not-found", "/schema"),
]


def check(reply, status, kind, hint):
    body = reply.json()
    assert (reply.status_code, body["type"]) == (status, f"urn:k2:problem:{kind}"), body
    assert reply.headers["content-type"].startswith("application/problem+json")
    assert body["status"] == status
    assert hint in body["detail"]
    assert body["request_id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize(("path", "status", "kind", "hint"), REFUSED, ids=[r[0][:50] for r in REFUSED])
def test_bad_input_is_a_problem_that_says_what_to_do(http, path, status, kind, hint):
    check(http.get(path), status, kind, hint)


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "k2_wrong"}, {"X-API-Key": ""}, {"Authorization": "Bearer x"},
                                     {"Authorization": "Basic eDp5"}, {"X-API-Key": b"\xff\xfe"}])  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/trades", "/v1/ohlcv", "/v1/symbols", "/v1/stats", "/v1/snapshots"])
def test_without_a_valid_key_nothing_is_told(server, stranger, path, headers):
    counted = server.metrics.value("k2_http_auth_refusals_total")
    reply = stranger.get(path, headers=headers)
    assert server.metrics.value("k2_http_auth_refusals_total") == counted + 1
    check(reply, 401, "unauthorized", "X-API-Key")
    assert reply.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("verb", ["post", "put", "delete", "patch"])
def test_other_methods_are_refused(http, verb):
    check(getattr(http, verb)("/v1/trades"), 405, "method-not-allowed", "GET")


def test_a_large_body_is_refused(http):
    check(http.request("GET", "/v1/trades", content=b"x" * 100_000), 413, "too-large", "max_body_bytes")


def test_a_fault_of_ours_is_a_problem_without_secrets(http, server, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("a secret path")

    monkeypatch.setattr(server.service, "rows", broken)
    reply = http.get("/v1/trades")
    check(reply, 500, "internal", "its log says why")
    assert "secret" not in reply.text


def test_a_request_id_that_is_not_fit_is_replaced(http):
    assert len(http.get("/livez", headers={"X-Request-ID": "a b<c>"}).headers["x-request-id"]) == 16
