"""What is done to the parts around k2: a Redis that is away or full, a stranger at the registry, a disk without space."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from confluent_kafka.admin import AdminClient
from redis import Redis as Client

from tests.e2e.faults_log import LIMIT_S
from tests.e2e.faults_world import Lake
from tests.services.redis import Redis

STRANGE = {"type": "record", "name": "Strange", "fields": [{"name": "what", "type": "boolean"}]}


@contextlib.contextmanager
def killed(redis: Redis) -> Iterator[None]:
    redis.kill()
    yield
    redis.start()


@contextlib.contextmanager
def frozen(redis: Redis) -> Iterator[None]:
    with redis.frozen():
        yield


@contextlib.contextmanager
def full(redis: Redis) -> Iterator[None]:
    with Client.from_url(redis.url) as client:
        client.config_set("maxmemory", 1)
        yield
        client.config_set("maxmemory", 0)


@contextlib.contextmanager
def without(lake: Lake, topic: str) -> Iterator[None]:
    """A topic is deleted, and made again by the command that k2 names."""
    admin = AdminClient({"bootstrap.servers": lake.log.services.kafka.bootstrap_servers})
    admin.delete_topics([topic])[topic].result(LIMIT_S)
    lake.log.letters_gone = lake.log.origins()
    yield
    applied = lake.command("topics", "apply")
    assert applied.returncode == 0, applied.stderr


@contextlib.contextmanager
def strange_schema(registry: str, subject: str) -> Iterator[int]:
    """Somebody else registers in k2's subject what reads nothing of k2's; taken out again in the end."""
    rule = (
        f"{urlsplit(registry).scheme}://{urlsplit(registry).netloc}/apis/registry/v3/groups/default/artifacts/{subject}"
    )
    told = {"ruleType": "COMPATIBILITY", "config": "NONE"}
    _ask(rule, "PUT", "/rules/COMPATIBILITY", told)  # by the other API: the registry's own level would count otherwise
    schema_id = _ask(registry, "POST", f"/subjects/{subject}/versions", {"schema": json.dumps(STRANGE)})["id"]
    version = max(_ask(registry, "GET", f"/subjects/{subject}/versions"))
    yield int(schema_id)
    _ask(registry, "DELETE", f"/subjects/{subject}/versions/{version}")
    _ask(registry, "PUT", f"/config/{subject}", {"compatibility": "BACKWARD"})


def _ask(registry: str, method: str, path: str, body: object = None) -> Any:
    url = urlsplit(registry)
    link = http.client.HTTPConnection(str(url.hostname), url.port, timeout=LIMIT_S)
    with contextlib.closing(link):
        text = None if body is None else json.dumps(body)
        link.request(method, url.path + path, text, {"Content-Type": "application/json"})
        answer = link.getresponse()
        said = answer.read()
        assert answer.status < 300, f"{method} {path}: {answer.status} {said!r}"
        return json.loads(said or b"null")


class SmallDisk:
    """A disk of a few megabytes under a lake's warehouse, seen by one writer; it is kept when that has ended.

    Args:
        lake: Whose.
    """

    def __init__(self, lake: Lake) -> None:
        self._warehouse = lake.folder / "data" / "warehouse"
        self._pid = lake.folder / "pid"
        self._warehouse.mkdir(parents=True)

    def mounting(self) -> list[str]:
        """What the writer's command begins with."""
        w, kept = self._warehouse, self._warehouse.with_name("kept")
        run = f'mount -t tmpfs -o size=8m none {w} || exit 97; "$@" & echo $! > {self._pid}; wait $!; c=$?; cp -a {w} {kept}; exit $c'
        return ["unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c", run, "sh"]

    def fill(self) -> None:
        """Until not a byte is left."""
        with contextlib.suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def clear(self) -> None:
        self._ballast.unlink()

    def end(self) -> None:
        """SIGTERM to the writer."""
        os.kill(int(self._pid.read_text()), signal.SIGTERM)

    def keep(self) -> None:
        """What was on the disk is in the warehouse from now on."""
        self._warehouse.rmdir()
        shutil.move(self._warehouse.with_name("kept"), self._warehouse)

    @property
    def _ballast(self) -> pathlib.Path:
        pid = int(self._pid.read_text())
        return pathlib.Path(f"/proc/{pid}/root{self._warehouse}/ballast")
