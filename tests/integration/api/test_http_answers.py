"""The API through real HTTP: what it answers."""

from __future__ import annotations

import csv
import io
import json
import logging
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def test_the_newest_hundred_trades_of_a_symbol(http):
    reply = http.get("/v1/trades", params={"symbol": "BTCUSDT", "limit": 100})
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert (body["symbol"], body["count"], body["complete"]) == ("BTCUSDT", 100, True)
    assert [t["trade_id"] for t in body["trades"]] == [str(n) for n in range(249, 149, -1)]
    first = body["trades"][0]
    assert (first["price"], first["quantity"], first["side"]) == (249.1, 1e-08, "buy")
    assert '"price":249.1,' in reply.text
    assert reply.headers["x-request-id"]


def test_pages_follow_next_url_while_data_pours_in(http, server):
    reply = http.get("/v1/trades", params={"symbol": "ETHUSDT", "limit": 7, "order": "asc"}).json()
    found = [t["trade_id"] for t in reply["trades"]]
    number = 30
    while reply["next_url"]:
        server.trades(number, number := number + 2, "ETHUSDT")
        reply = http.get(reply["next_url"]).json()
        found += [t["trade_id"] for t in reply["trades"]]
    assert found == [str(n) for n in range(30)]


def test_a_cursor_alone_goes_on(http):
    first = http.get("/v1/trades", params={"symbols": "BTCUSDT,ETHUSDT", "limit": 3}).json()
    alone = http.get("/v1/trades", params={"cursor": first["next_cursor"], "limit": 3}).json()
    assert alone["trades"] == http.get(first["next_url"]).json()["trades"]


def test_formats_hold_the_same_rows(http):
    def ask(kind):
        return http.get("/v1/trades", params={"symbol": "BTCUSDT", "limit": 5, "format": kind})

    want = [t["trade_id"] for t in ask("json").json()["trades"]]
    assert [json.loads(line)["trade_id"] for line in ask("ndjson").text.splitlines()] == want
    assert [r["trade_id"] for r in csv.DictReader(io.StringIO(ask("csv").text))] == want
    assert pq.read_table(io.BytesIO(ask("parquet").content)).column("trade_id").to_pylist() == want
    arrow = ask("arrow")
    assert pa.ipc.open_stream(arrow.content).read_all().column("trade_id").to_pylist() == want
    assert arrow.headers["x-k2-complete"] == "true"
    assert 'rel="next"' in arrow.headers["link"]


def test_accept_chooses_the_format(http):
    reply = http.get("/v1/trades?limit=1", headers={"Accept": "image/png;q=0.9, text/csv;q=0.5"})
    assert reply.headers["content-type"].startswith("text/csv")
    assert http.get("/v1/trades?limit=1", headers={"Accept": "image/png"}).status_code == 406


def test_fields_and_times(http):
    body = http.get("/v1/trades?symbol=BTCUSDT&fields=price&start=-5m&end=now&limit=1").json()
    assert sorted(body["trades"][0]) == ["exchange_timestamp_ms", "log_offset", "log_partition", "price", "topic"]
    assert http.get("/v1/trades?symbol=BTCUSDT&end=2001-09-09T01:46:40Z").json()["count"] == 0
    assert http.get("/v1/trades?symbol=BTCUSDT&start=1000000000&limit=1").json()["count"] == 1


def test_bars(http):
    body = http.get("/v1/ohlcv", params={"symbol": "BTCUSDT", "interval": "1h"}).json()
    bars = body["bars"]
    assert sum(b["trades"] for b in bars) == 250
    assert (min(b["low"] for b in bars), max(b["high"] for b in bars)) == (0.1, 249.1)


def test_symbols_stats_and_snapshots(http):
    symbols = http.get("/v1/symbols").json()["symbols"]
    assert [s["symbol"] for s in symbols][:2] == ["BTCUSDT", "ETHUSDT"]
    trades = http.get("/v1/stats").json()["trades"]
    assert trades["tail"]["rows"] >= 280
    assert trades["freshness"]["p99_ms"] > 0


def test_ids_that_never_came_are_named(http, server):
    server.trades(100, 102, "XRPUSDT")
    server.trades(105, 106, "XRPUSDT")
    tail = server.service.tails["trades"]
    assert tail.wait(lambda _: bool(tail.holes), 5)
    missing = http.get("/v1/stats").json()["trades"]["missing_ids"]
    assert missing == {
        "by_exchange": {"binance": 3},
        "holes": [{"exchange": "binance", "symbol": "XRPUSDT", "first": 102, "last": 104}],
    }


def test_snapshots_are_listed_newest_first(http, server):
    first = server.tables["quotes"].commit([], {("market.crypto.quotes.binance", 0): 1})
    second = server.tables["quotes"].compact()
    body = http.get("/v1/snapshots?data_type=quotes").json()
    assert [s["snapshot_id"] for s in body["snapshots"]] == [second.id, first.id]
    assert http.get(f"/v1/quotes?snapshot_id={first.id}").json()["count"] == 0


def test_snapshots_of_an_empty_table(http):
    assert http.get("/v1/snapshots").json()["snapshots"] == []


def test_as_of_and_explain(http):
    body = http.get("/v1/trades?symbol=BTCUSDT&as_of=now&explain=true&limit=1").json()
    assert body["reproducible"]
    assert body["explain"]["table"] == "empty"
    assert body["explain"]["tail_rows"] >= 1


def test_a_caller_waits_for_its_own_writes(http, server):
    (topic, partition), end = next(iter(server.log.ends(["market.crypto.trades.binance"]).items()))
    assert http.get("/v1/trades", params={"min_offset": f"{topic}:{partition}:{end}"}).status_code == 200
    reply = http.get("/v1/trades", params={"min_offset": f"{topic}:{partition}:{end + 1}"})
    assert (reply.status_code, reply.json()["type"]) == (503, "urn:k2:problem:behind")
    assert int(reply.headers["retry-after"]) >= 1


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz", "/metrics", "/schema", "/schema/openapi.json"])
def test_open_without_a_key(stranger, path):
    assert stranger.get(path).status_code == 200


def test_metrics_count_queries(stranger, http):
    http.get("/v1/trades?limit=1")
    assert re.search(r'k2_serve_queries_total\{outcome="ok",route="trades"\} \d', stranger.get("/metrics").text) or (
        re.search(r'k2_serve_queries_total\{route="trades",outcome="ok"\} \d', stranger.get("/metrics").text)
    )


def test_the_schema_lists_every_parameter_and_needs_nothing_from_elsewhere(stranger):
    document = stranger.get("/schema/openapi.json").json()
    names = {p["name"] for p in document["paths"]["/v1/trades"]["get"]["parameters"]}
    assert {"symbol", "start", "cursor", "as_of", "format"} <= names
    page = stranger.get("/schema").text
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize("headers", [{"X-API-Key": "k2_a-key-for-these-tests"},
                                     {"Authorization": "Bearer k2_a-key-for-these-tests"}])  # fmt: skip
def test_both_headers_carry_a_key(stranger, headers):
    assert stranger.get("/v1/trades?limit=1", headers=headers).status_code == 200


def test_a_request_id_is_kept(http):
    assert http.get("/livez", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"


def test_a_query_can_be_followed_by_its_request_id(http, caplog):
    with caplog.at_level(logging.INFO, "k2.query"):
        answered = http.get("/v1/trades?limit=5", headers={"X-Request-ID": "mine-1"})
        refused = http.get("/v1/trades?limit=-5", headers={"X-Request-ID": "mine-2"})
    assert answered.headers["x-request-id"] == "mine-1"
    assert refused.json()["request_id"] == "mine-2"
    lines = {line.split("request=")[1].split()[0]: line for line in caplog.messages}
    pin = ";".join(f"{t}:" + ",".join(f"{p}@{n}" for p, n in ends) for t, ends in answered.json()["pin"].items())
    assert f"outcome=ok why=- ms={lines['mine-1'].split('ms=')[1].split()[0]} rows=5" in lines["mine-1"]
    assert f" pin={pin} asked=limit=5" in lines["mine-1"]
    assert "outcome=refused" in lines["mine-2"]
