"""A whole k2 on Kafka: exchange, log, table, answers; broker and registry killed on the way, and the writer."""

from __future__ import annotations

import contextlib
import json
import pathlib
import signal
import urllib.request
from collections.abc import Iterator

import pytest

from tests.e2e.capture import Capture, capture, tape, wait_until
from tests.e2e.command import run_k2
from tests.services.kafka import Kafka
from tests.services.registry import Registry
from tests.services.running import running

pytestmark = pytest.mark.xdist_group("kafka-end-to-end")
KEY = "kafka-end-to-end"
BROKER = """[broker]
use = "kafka"
bootstrap_servers = "{kafka}"
schema_registry_url = "{registry}"
replication_factor = 1
session_timeout_s = 3

[broker.client]
"socket.nagle.disable" = true
"""


@pytest.fixture
def services(tmp_path: pathlib.Path) -> Iterator[tuple[Kafka, Registry]]:
    kafka, registry = Kafka(tmp_path / "kafka"), Registry(tmp_path / "registry")
    with running(kafka, registry):
        yield kafka, registry


def on_kafka(world: Capture, kafka: Kafka, registry: Registry) -> None:
    """Let an installation's log be in Kafka."""
    embedded = '[broker]\nuse = "embedded"\npath = "data/log.db"\n'
    text = world.settings.read_text()
    assert embedded in text
    ours = BROKER.format(kafka=kafka.bootstrap_servers, registry=registry.url)
    world.settings.write_text(text.replace(embedded, ours).replace("commit_interval_s = 2", "commit_interval_s = 0.5"))


def count(world: Capture, data_type: str) -> int:
    """Rows that the API answers with, over all pages."""
    found, target = 0, f"/v1/{data_type}?limit=1000&order=asc&start=2020-01-01T00:00:00Z"
    with contextlib.suppress(OSError):
        while target:
            asked = urllib.request.Request(f"http://127.0.0.1:{world.port}{target}", headers={"X-API-Key": KEY})
            with urllib.request.urlopen(asked, timeout=20) as answer:
                page = json.load(answer)
            found += len(page[data_type])
            target = page["next_url"]
    return found


def test_every_trade_is_stored_once_and_answered(tmp_path: pathlib.Path, services: tuple[Kafka, Registry]) -> None:
    kafka, registry = services
    with capture(tmp_path, tape(recordings=None, trades=4000, seconds=8)) as world:
        on_kafka(world, kafka, registry)
        early = run_k2(world.settings, "ingest")
        assert (early.returncode, "topics apply" in early.stderr) == (3, True), early.stderr
        applied = run_k2(world.settings, "topics", "apply")
        assert applied.returncode == 0, applied.stderr
        assert run_k2(world.settings, "topics", "plan").returncode == 0
        ingest, serve = world.start("ingest"), world.start("serve", K2_API_KEY=KEY)
        played = world.exchange.play()
        writer = world.start("write")
        wait_until("rows are stored", lambda: world.output("write").count("writing data_type") == 2, alive=writer)
        registry.kill()
        kafka.kill()
        kafka.start()
        writer.kill()
        writer.wait(10)
        writer = world.start("write")
        played.result(120)
        wait_until(
            "the next writer writes", lambda: world.output("write").count("writing data_type") == 4, alive=writer
        )
        wait_until(
            "all is answered", lambda: count(world, "trades") == len(world.exchange.issued("trades")), alive=serve
        )
        for one in (ingest, writer):
            one.send_signal(signal.SIGTERM)
        assert ingest.wait(60) == 0, world.output("ingest")
        assert writer.wait(60) == 0, world.output("write")
        last = run_k2(world.settings, "write", "--once")
        assert last.returncode == 0, last.stderr
        for name in ("trades", "quotes"):
            verdict = world.verdict(name)
            assert verdict.ok, f"{name}: {verdict}"
            assert verdict.issued > 100
        asked = run_k2(world.settings, "query", "trades", "--limit", "3", "--json")
        assert asked.returncode == 0, asked.stderr
