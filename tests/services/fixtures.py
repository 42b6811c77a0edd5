"""Fixtures of real services, shared by a whole test process; whoever breaks a service makes one of its own.

Those that `nox -s services` started are used where its variables are set; else they are started. What cannot be had
skips the test and says why; with `K2_REQUIRE_SERVICES=1`, as in CI, that is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.services.kafka import Kafka
from tests.services.process import Service, UnavailableError
from tests.services.redis import Redis
from tests.services.registry import Registry

KAFKA, REGISTRY, REDIS = "K2_TEST_KAFKA", "K2_TEST_REGISTRY", "K2_TEST_REDIS"
"""Variables that name services which run already."""


@dataclass(frozen=True)
class Address:
    """Where a service is.

    Args:
        url: As k2's settings take it.
    """

    url: str


def _provided(variable: str, make: Callable[[], Service], url: Callable[[Service], str]) -> Iterator[Address]:
    if named := os.environ.get(variable):
        yield Address(named)
        return
    try:
        service = make()
        service.start()
    except UnavailableError as error:
        pytest.skip(f"{variable} is not set, and none can be started: {error}")
    try:
        yield Address(url(service))
    finally:
        service.stop()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A broker; every test takes topics and groups of names of its own."""
    folder = tmp_path_factory.mktemp("kafka")
    yield from _provided(KAFKA, lambda: Kafka(folder), lambda s: f"127.0.0.1:{s.port}")


@pytest.fixture(scope="session")
def schema_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A schema registry; every test takes subjects of its own."""
    folder = tmp_path_factory.mktemp("registry")
    yield from _provided(REGISTRY, lambda: Registry(folder), lambda s: f"http://127.0.0.1:{s.port}/apis/ccompat/v7")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A Redis; every test takes a key prefix of its own."""
    folder = tmp_path_factory.mktemp("redis")
    yield from _provided(REDIS, lambda: Redis(folder), lambda s: f"redis://127.0.0.1:{s.port}/0")
