"""The real services install, start, answer, and come back after `kill -9`: every fault test stands on that."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

from tests.services.fixtures import Address
from tests.services.install import program
from tests.services.process import UnavailableError
from tests.services.redis import Redis

pytestmark = pytest.mark.xdist_group("kafka")


def test_the_broker_answers(kafka: Address) -> None:
    from confluent_kafka.admin import AdminClient

    assert len(AdminClient({"bootstrap.servers": kafka.url}).list_topics(timeout=10).brokers) == 1


def test_the_registry_answers(schema_registry: Address) -> None:
    with urllib.request.urlopen(f"{schema_registry.url}/subjects", timeout=60) as found:
        assert found.status == 200


def test_redis_is_killed_and_comes_back_on_its_port(tmp_path: Path, redis_server: Address) -> None:
    assert redis_server.url.startswith("redis://")
    with Redis(tmp_path) as one:
        port, pid = one.port, one.pid
        one.kill()
        assert not one.answers()
        one.start()
        assert (one.port, one.pid != pid, one.answers()) == (port, True, True)
        with one.frozen():
            assert one.running
    assert not one.running


def test_what_is_missing_is_named_with_its_remedy() -> None:
    with pytest.raises(UnavailableError, match="apt-get install no-such-package"):
        program("no-such-program", "no-such-package")


def test_a_service_that_does_not_come_up_shows_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="nonsense"):
        Redis(tmp_path, "--nonsense", "yes").start()
