"""Names that nobody ever saw are told, and the longest question there may be has a next page, on any server."""

from __future__ import annotations

import pytest

LONGEST = [f"{n:04d}".ljust(64, "ÄX"[n % 2]) for n in range(98)]


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("symbol=BTCUSD", "symbol 'BTCUSD' has never been seen in trades; did you mean BTCUSDT?"),
        ("symbol=btc-usdt", "did you mean BTCUSDT?"),
        ("symbols=BTCUSDT,ETHUSTD", "did you mean ETHUSDT?"),
        ("symbol=BTCUSDT&exchange=binanse", "exchange 'binanse' has never been seen in trades; did you mean binance?"),
        ("symbol=zzzz", "symbol 'zzzz' has never been seen in trades"),
    ],
)
def test_a_name_that_nobody_ever_saw_is_told(http, query, hint):
    for route in ("/v1/trades?", "/v1/ohlcv?interval=1m&"):
        reply = http.get(route + query)
        assert reply.status_code == 200
        (warning,) = [w for w in reply.json()["warnings"] if "never been seen in trades of" not in w]
        assert warning.endswith(hint)
        assert http.get(f"{route}{query}&format=csv").headers["X-K2-Warning"].startswith(warning)


def test_names_that_exist_are_no_warning_however_empty_the_answer(http):
    for query in ("symbol=BTCUSDT", "symbol=BTCUSDT&end=2020-01-01", "symbols=BTCUSDT,ETHUSDT&limit=1", ""):
        assert http.get(f"/v1/trades?{query}").json()["warnings"] == []


def test_a_warning_is_one_line_of_ascii_in_a_header(http):
    reply = http.get("/v1/trades", params={"symbol": "Ω\r\nX-Evil: 1", "format": "csv"})
    assert reply.status_code == 200
    assert "x-evil" not in reply.headers
    assert "\\u03a9" in reply.headers["x-k2-warning"]


def test_the_longest_question_has_a_next_page_that_fits_and_another_server_reads_it(http, server):
    asked = {"symbols": ",".join(["BTCUSDT", "ETHUSDT", *LONGEST]), "limit": 200, "order": "asc"}
    first = http.get("/v1/trades", params=asked)
    assert first.status_code == 200
    body = first.json()
    assert len(first.headers["link"]) < 16_000
    again = http.get(body["next_url"]).json()
    assert (again["count"], again["symbols"]) == (body["count"] and again["count"], body["symbols"])
    places = [(t["symbol"], t["log_offset"]) for t in body["trades"] + again["trades"]]
    assert len(places) == len(set(places)) > 200
    same = http.get("/v1/trades", params={**asked, "cursor": body["next_cursor"]}).json()
    assert same["trades"] == again["trades"]
    other = {**asked, "symbols": asked["symbols"].replace("ETHUSDT", "ETHUSDX"), "cursor": body["next_cursor"]}
    refused = http.get("/v1/trades", params=other)
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:k2:problem:cursor-mismatch")
    service = server.new_service()
    for tail in service.tails.values():
        tail.advance(0)
    from k2core.query.answer import RowsRequest

    rows = service.rows("trades", RowsRequest(cursor=body["next_cursor"], limit=200)).rows
    assert rows.column("log_offset").to_pylist() == [t["log_offset"] for t in again["trades"]]


def test_a_short_question_stays_readable_in_the_next_url(http):
    url = http.get("/v1/trades?symbol=BTCUSDT&limit=2").json()["next_url"]
    assert url.startswith("/v1/trades?symbol=BTCUSDT&limit=2&cursor=")


def test_without_a_key_it_is_said_how_to_make_one(stranger):
    assert "k2 keys make" in stranger.get("/v1/trades").json()["detail"]


def test_a_column_that_says_nothing_is_left_out_unless_it_is_named(http):
    assert "id_epoch" not in http.get("/v1/trades?limit=1").json()["trades"][0]
    assert http.get("/v1/trades?limit=1&fields=id_epoch").json()["trades"][0]["id_epoch"] == 0
    assert b"id_epoch" not in http.get("/v1/trades?limit=1&format=csv").content
