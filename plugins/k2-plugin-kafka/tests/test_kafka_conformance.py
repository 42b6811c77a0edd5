"""Kafka keeps every MUST of a log: a real broker, a real registry, other processes that are killed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import kafka_world as world
import pytest

from k2core.plugin import Broker, Clock
from k2core.testing import BrokerSuite
from tests.services.fixtures import KAFKA, REGISTRY, Address

pytestmark = pytest.mark.xdist_group("kafka")


class TestKafka(BrokerSuite):
    durable = processes = holes = True
    own_clock = False

    @pytest.fixture(autouse=True)
    def _services(self, kafka: Address, schema_registry: Address, monkeypatch: pytest.MonkeyPatch) -> None:
        """Other processes, which have no fixtures, find the services where these variables say."""
        monkeypatch.setenv(KAFKA, kafka.url)
        monkeypatch.setenv(REGISTRY, schema_registry.url)

    def open(self, place: Path, clock: Clock) -> Broker:
        return cast("Broker", world.broker(os.environ[KAFKA], os.environ[REGISTRY], place, clock))
