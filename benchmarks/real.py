"""A real Kafka and its registry beside the benchmarks, and the settings that point k2 at them."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

from tests.services.kafka import Kafka
from tests.services.registry import Registry

BROKER = """
[broker]
use = "kafka"
bootstrap_servers = "{servers}"
schema_registry_url = "{registry}"
replication_factor = 1
"""


def settings(broker: Kafka, registry: Registry) -> str:
    """`[broker]` of a `k2.toml`."""
    return BROKER.format(servers=broker.bootstrap_servers, registry=registry.url)


@contextlib.contextmanager
def broker_settings(broker: str, folder: pathlib.Path) -> Iterator[str]:
    """What a `k2.toml` says of a broker that runs meanwhile: `kafka`, or `embedded`, which needs none."""
    if broker == "embedded":
        yield ""
        return
    with Registry(folder / "registry") as registry, Kafka(folder / "kafka") as server:
        yield settings(server, registry)
