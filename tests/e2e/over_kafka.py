"""An installation whose log is in a Kafka and a registry of its own, and whose dedup store is a Redis of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from tests.e2e.capture import Capture
from tests.e2e.command import run_k2
from tests.services.kafka import Kafka
from tests.services.redis import Redis
from tests.services.registry import Registry
from tests.services.running import running

EMBEDDED = '[broker]\nuse = "embedded"\npath = "data/log.db"\n'
BROKER = """[broker]
use = "kafka"
bootstrap_servers = "{kafka}"
schema_registry_url = "{registry}"
replication_factor = 1
session_timeout_s = 1.5

[dedup]
use = "redis"
url = "{redis}"
"""


class Services(NamedTuple):
    """What an installation uses, to be killed and brought back."""

    kafka: Kafka
    registry: Registry
    redis: Redis


@contextlib.contextmanager
def over_services(world: Capture) -> Iterator[Services]:
    """Start Kafka, registry and Redis, let the installation use them, and make its topics."""
    kafka, registry, redis = (
        Kafka(world.folder / "kafka"),
        Registry(world.folder / "registry"),
        Redis(world.folder / "redis"),
    )
    with running(kafka, registry, redis):
        text = world.settings.read_text()
        assert EMBEDDED in text
        ours = BROKER.format(kafka=kafka.bootstrap_servers, registry=registry.url, redis=redis.url)
        world.settings.write_text(text.replace(EMBEDDED, ours))
        done = run_k2(world.settings, "topics", "apply")
        assert done.returncode == 0, done.stderr
        yield Services(kafka, registry, redis)
