"""Several `k2 serve` on one log and table: each has a tail of its own, and a cursor of one works on the other."""

from __future__ import annotations

import json
import pathlib
import signal
import urllib.request
from typing import Any

from k2core.cli.demo_exchange import free_port
from tests.e2e.capture import capture, tape, wait_until

KEY = "two-servers"


def ask(port: int, target: str) -> dict[str, Any]:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{target}", headers={"X-API-Key": KEY})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def ready(port: int) -> bool:
    try:
        return bool(ask(port, "/v1/trades?limit=1")["count"])
    except OSError:
        return False


def test_a_cursor_of_one_server_works_on_another(tmp_path: pathlib.Path) -> None:
    with capture(tmp_path, tape(recordings=None, trades=3000, seconds=4)) as world:
        other = free_port()
        ingest, writer = world.start("ingest"), world.start("write")
        servers = [world.start("serve", K2_API_KEY=KEY), world.start("serve", K2_API_KEY=KEY, K2_API__PORT=str(other))]
        ports = (world.port, other)
        world.exchange.play().result(120)
        for port, server in zip(ports, servers, strict=True):
            wait_until("it answers", lambda port=port: ready(port), alive=server)
        ingest.send_signal(signal.SIGTERM)
        assert ingest.wait(120) == 0, world.output("ingest")
        target: str | None = "/v1/trades?limit=97&order=asc&start=2020-01-01T00:00:00Z"
        seen: list[tuple[str, str]] = []
        pages = 0
        while target:
            page = ask(ports[pages % 2], target)
            seen += [(row["symbol"], row["trade_id"]) for row in page["trades"]]
            target = page["next_url"]
            pages += 1
        assert pages > 20
        assert len(seen) == len(set(seen)) == len(world.exchange.issued("trades"))
        for one in (writer, *servers):
            one.send_signal(signal.SIGTERM)
            assert one.wait(120) == 0, world.output("serve")
