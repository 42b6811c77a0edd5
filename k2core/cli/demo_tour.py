"""The demo's tour: real requests to the running API, with their real answer times, and what to type next."""

from __future__ import annotations

import http.client
import json
import statistics
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: status, parsed body, and how long it took, in ms."""

    status: int
    body: Any
    ms: float


class Api:
    """The demo's API over one kept connection a thread."""

    def __init__(self, port: int, key: str) -> None:
        self.port, self.key = port, key
        self._local = threading.local()

    def get(self, path: str, **params: Any) -> Reply:
        """GET a path.

        Raises:
            OSError: Nobody answers.
        """
        began = time.perf_counter()
        kept = getattr(self._local, "connection", None) is not None
        try:
            answer, raw = self._asked(self.target(path, **params))
        except http.client.RemoteDisconnected as error:
            if not kept:
                raise ConnectionError(f"the API on port {self.port} does not answer: {error}") from error
            return self.get(path, **params)  # a connection that idled was closed by the server, as it may at any time
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionError(f"the API on port {self.port} does not answer: {error}") from error
        ms = (time.perf_counter() - began) * 1000
        try:
            return Reply(answer.status, json.loads(raw), ms)
        except ValueError:
            return Reply(answer.status, raw.decode(errors="replace"), ms)

    def _asked(self, target: str) -> tuple[http.client.HTTPResponse, bytes]:
        """One request on this thread's connection, which is given up where it fails."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", target, headers={"X-API-Key": self.key})
            answer = connection.getresponse()
            return answer, answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self) -> None:
        """Close this thread's connection."""
        if connection := getattr(self._local, "connection", None):
            connection.close()
            self._local.connection = None

    @staticmethod
    def target(path: str, **params: Any) -> str:
        """Path and query."""
        return path + ("?" + urllib.parse.urlencode(params) if params else "")

    def curl(self, path: str, **params: Any) -> str:
        """The line that asks the same from a shell."""
        return f"curl -H 'X-API-Key: {self.key}' 'http://127.0.0.1:{self.port}{self.target(path, **params)}'"


@dataclass(slots=True)
class Freshness:
    """Ages of trades when a query first showed them, in ms: from the receive time of their frame."""

    ages_ms: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float | None:
        """A percentile, 0 … 1; None where nothing was seen."""
        if not self.ages_ms:
            return None
        ordered = sorted(self.ages_ms)
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)


class FreshnessProbe:
    """Asks for the newest trade again and again, and notes how old each new one is when it is first seen."""

    def __init__(self, api: Api, symbol: str, pause_s: float = 0.04) -> None:
        self.found = Freshness()
        self._api, self._symbol, self._pause_s = api, symbol, pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="freshness", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join(TIMEOUT_S)

    def _run(self) -> None:
        last = None
        while not self._stop.wait(self._pause_s):
            try:
                reply = self._api.get("/v1/trades", symbol=self._symbol, limit=1)
            except OSError:
                continue  # serve is being started again; the next question will tell
            trades = reply.body.get("trades") if isinstance(reply.body, dict) else None
            if reply.status == 200 and trades and trades[0]["trade_id"] != last:
                if last is not None:
                    self.found.ages_ms.append(time.time() * 1000 - trades[0]["received_timestamp_us"] / 1000)
                last = trades[0]["trade_id"]
        self._api.close()


def median_ms(api: Api, path: str, times: int = 21, **params: Any) -> tuple[Reply, float]:
    """Ask several times: the last reply, and the median of the answer times in ms."""
    replies = [api.get(path, **params) for _ in range(times)]
    return replies[-1], round(statistics.median(r.ms for r in replies), 2)


def show(api: Api, symbol: str, warehouse: Path, ago_s: int, say: Callable[[str], None]) -> float:
    """Walk through; returns the median answer time of the newest 100 trades, in ms."""
    newest, p50_ms = median_ms(api, "/v1/trades", symbol=symbol, limit=100)
    rows = newest.body.get("trades", [])
    say("\n1. The newest 100 trades, table and log in one answer:")
    say(f"   {api.curl('/v1/trades', symbol=symbol, limit=100)}")
    say(f"   → {newest.status}, {len(rows)} trades, {p50_ms:g} ms (median of 21); the newest: {_brief(rows)}")
    bars = api.get("/v1/ohlcv", symbol=symbol, interval="1m")
    say("\n2. One-minute bars:")
    say(f"   {api.curl('/v1/ohlcv', symbol=symbol, interval='1m')}")
    say(f"   → {bars.status}, {bars.ms:.1f} ms: {json.dumps(_first(bars.body))}")
    past = api.get("/v1/trades", symbol=symbol, limit=1, as_of=f"-{ago_s}s")
    say(f"\n3. What was known {ago_s} seconds ago; for an age that is over, always the same answer:")
    say(f"   {api.curl('/v1/trades', symbol=symbol, limit=1, as_of=f'-{ago_s}s')}")
    say(f"   → {past.status}, {past.ms:.1f} ms; the newest then: {_brief(past.body.get('trades', []))}")
    say(f"\n4. The table is plain Iceberg, in {warehouse}; without k2:")
    say("   from pyiceberg.catalog.sql import SqlCatalog")
    say(f'   catalog = SqlCatalog("k2", uri="sqlite:///{warehouse}/catalog.db")')
    say('   catalog.load_table("market.trades").scan(limit=5).to_arrow()')
    return p50_ms


def _brief(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "none"
    row = rows[0]
    return f"{row['symbol']} {row.get('side')} {row['quantity']:g} at {row['price']:g}, id {row['trade_id']}"


def _first(body: Any) -> Any:
    """The first bar of an answer, whatever its list is called."""
    lists = [v for v in body.values() if isinstance(v, list)] if isinstance(body, dict) else []
    return lists[0][0] if lists and lists[0] else body
