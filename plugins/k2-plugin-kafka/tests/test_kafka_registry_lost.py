"""A registry that forgot, was built anew, holds what is no Avro, or is no registry: told; records of before stay readable."""

from __future__ import annotations

import contextlib
import http.server
import json
import pathlib
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import kafka_world as world
import pytest
from k2_plugin_kafka.lineage import Lineages
from k2_plugin_kafka.registry import Registry as Client
from k2_plugin_kafka.settings import KafkaSettings

from k2core.plugin import BrokerAwayError, SchemaError, TopicMissingError
from k2core.testing.conformance.broker_world import drain, numbered, topic_spec
from tests.services.fixtures import Address

pytestmark = pytest.mark.xdist_group("kafka")
LINEAGE = ('"int"', '"long"', '"double"')


@pytest.fixture
def topic() -> str:
    return str(world.new_topic())


def call(registry: Address, method: str, path: str, body: object = None) -> Any:
    text = None if body is None else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(registry.url + path, text, kind, method=method), timeout=60
    ) as got:
        return json.load(got)


def forget(registry: Address, subject: str) -> None:
    for end in ("", "?permanent=true"):
        call(registry, "DELETE", f"/subjects/{subject}{end}")


def versions(log: Any, topic: str) -> set[int]:
    return {block.version for block in drain(log.consumer([topic]))}


def test_of_a_subject_that_was_deleted_records_stay_readable_and_none_is_appended(
    kafka: Address, schema_registry: Address, tmp_path: pathlib.Path, topic: str
) -> None:
    """They were dead letters, all of them."""
    with world.broker(kafka.url, schema_registry.url, tmp_path) as log:
        log.ensure_topics([topic_spec(topic)])
        log.producer().produce([numbered(topic, range(8))])
    forget(schema_registry, f"{topic}-value")
    with world.broker(kafka.url, schema_registry.url, tmp_path) as log:
        assert versions(log, topic) == {1}
        with pytest.raises(SchemaError, match="k2 topics apply"):
            log.producer().produce([numbered(topic, [8])])
        assert next(change.kind for change in log.plan([topic_spec(topic)])) == "subject"
        log.ensure_topics([topic_spec(topic)])
        log.producer().produce([numbered(topic, range(8, 16), version=2)])
        assert versions(log, topic) == {1, 2}
    with world.broker(kafka.url, schema_registry.url, tmp_path) as log:
        assert versions(log, topic) == {1, 2}
    forget(schema_registry, f"{topic}-value")
    with (
        world.broker(kafka.url, schema_registry.url, tmp_path / "elsewhere") as log,
        pytest.raises(TopicMissingError, match="no schema in the registry: run k2 topics apply"),
    ):
        log.consumer([topic])


def test_applying_after_a_subject_was_deleted_keeps_the_ids_of_before(
    schema_registry: Address, tmp_path: pathlib.Path, topic: str
) -> None:
    """A registry that was built anew gives other ids; the file that is written then had forgotten the old ones."""
    subject, client = f"{topic}-value", Client(KafkaSettings(schema_registry_url=schema_registry.url))
    (tmp_path / f"{subject}.json").write_text(
        json.dumps({"subject": subject, "schemas": LINEAGE[:2], "ids": {"900001": 1, "900002": 2}})
    )
    lineages = Lineages(client, tmp_path, world.context().logger, lambda _: LINEAGE)
    assert lineages.refresh(subject).schemas == ()
    assert lineages.get(subject).id_of(1) is None, "nobody appends under an id that the registry does not know"
    new = [client.register(subject, schema) for schema in LINEAGE]
    assert lineages.refresh(subject).ids == {900001: 1, 900002: 2} | {one: n for n, one in enumerate(new, 1)}
    assert lineages.get(subject).id_of(2) == new[1]
    again = Lineages(client, tmp_path, world.context().logger, lambda _: LINEAGE)
    assert (again.version(subject, 900002), again.version(subject, new[2])) == (2, 3)


@pytest.mark.parametrize("known", [LINEAGE, ()])
def test_a_version_that_was_deleted_changes_no_other_ones_number(
    schema_registry: Address, tmp_path: pathlib.Path, topic: str, known: tuple[str, ...]
) -> None:
    """What is numbered otherwise is decoded by another schema."""
    subject, client = f"{topic}-value", Client(KafkaSettings(schema_registry_url=schema_registry.url))
    ids = [client.register(subject, schema) for schema in LINEAGE]
    lineages = Lineages(client, tmp_path, world.context().logger, lambda _: known)
    assert [lineages.version(subject, one) for one in ids] == [1, 2, 3]
    call(schema_registry, "DELETE", f"/subjects/{subject}/versions/1")
    assert lineages.version(subject, 123456789) == 0, "an id that is new: the registry is asked"
    assert lineages.refresh(subject).schemas == LINEAGE[1:]
    assert [lineages.version(subject, one) for one in ids] == [1, 2, 3]
    anew = Lineages(client, tmp_path, world.context().logger, lambda _: known)
    assert [anew.version(subject, one) for one in ids] == [1, 2, 3]


@pytest.mark.parametrize(("kind", "schema"), [("PROTOBUF", 'syntax = "proto3"; message A { int32 x = 1; }'),
                                              ("JSON", '{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}')])  # fmt: skip
def test_a_subject_of_another_kind_of_schema_is_refused_by_its_name(
    kafka: Address, schema_registry: Address, tmp_path: pathlib.Path, topic: str, kind: str, schema: str
) -> None:
    call(schema_registry, "POST", f"/subjects/{topic}-value/versions", {"schemaType": kind, "schema": schema})
    with world.broker(kafka.url, schema_registry.url, tmp_path) as log:
        (refused,) = [change.refused for change in log.plan([topic_spec(topic)]) if change.refused]
        assert f"{topic}-value" in refused
        with pytest.raises(SchemaError, match=f"{topic}-value"):
            log.ensure_topics([topic_spec(topic)])
        assert topic not in log.topics(), "what cannot be is not begun"


class Odd(http.server.BaseHTTPRequestHandler):
    """Answers with what it was told to."""

    body, drop_s = b"", 0.0

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):  # who asked has gone
            for n in range(len(self.body)):
                self.wfile.write(self.body[n : n + 1])
                time.sleep(self.drop_s)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def odd() -> Iterator[tuple[type[Odd], Client]]:
    kind = type("Told", (Odd,), {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    yield kind, Client(KafkaSettings(schema_registry_url=url, schema_registry_timeout_s=0.5))
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("body", [b"null", b"7", b"true", b'"x"', b"{}", b"[1]", b'[{"id": 1}]', b"<html>", b"", b'{"id": -1}',
                                  b'{"id": "x"}', b'{"id": 4294967296}'])  # fmt: skip
def test_what_is_no_registry_is_away_whatever_it_says(odd: tuple[type[Odd], Client], body: bytes) -> None:
    kind, client = odd
    kind.body = body
    asks = [lambda: client.versions("a"), lambda: client.register("a", '"int"')]
    if body not in (b"{}", b"[1]", b'[{"id": 1}]', b'{"id": -1}', b'{"id": "x"}', b'{"id": 4294967296}'):
        asks += [client.subjects, client.level]
    for ask in asks:
        client._rests_until = 0
        with pytest.raises(BrokerAwayError, match="schema registry"):
            ask()


def test_an_answer_that_comes_in_drops_ends_in_time(odd: tuple[type[Odd], Client]) -> None:
    kind, client = odd
    kind.body, kind.drop_s = b"[" * 10_000, 0.1
    started = time.monotonic()
    with pytest.raises(BrokerAwayError, match="does not end"):
        client.subjects()
    assert time.monotonic() - started < 60, "it would have gone on for 1,000 s"


def test_processes_that_write_the_same_file_leave_one_that_is_whole(
    schema_registry: Address, tmp_path: pathlib.Path, topic: str
) -> None:
    subject, client = f"{topic}-value", Client(KafkaSettings(schema_registry_url=schema_registry.url))
    first = client.register(subject, LINEAGE[0])
    writers = [Lineages(client, tmp_path, world.context().logger, lambda _: LINEAGE) for _ in range(4)]
    lineage = writers[0].get(subject)
    stop = threading.Event()

    def write(one: Lineages) -> None:
        while not stop.is_set():
            one._write(lineage)

    threads = [threading.Thread(target=write, args=(one,)) for one in writers]
    for thread in threads:
        thread.start()
    for _ in range(200):
        assert Lineages(client, tmp_path, world.context().logger, lambda _: LINEAGE)._read(subject).ids == {first: 1}
    stop.set()
    for thread in threads:
        thread.join(60)
    assert [path.name for path in tmp_path.iterdir()] == [f"{subject}.json"], "nothing half-written stays behind"
