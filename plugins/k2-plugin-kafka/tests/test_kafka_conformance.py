"""Kafka keeps every MUST of a log: a real broker, a real registry, other processes that are killed."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import sys
from pathlib import Path
from typing import cast

import pytest

from k2core.plugin import Broker, Clock
from k2core.testing import BrokerSuite
from tests.services.fixtures import KAFKA, REGISTRY, Address

spec = importlib.util.spec_from_file_location("kafka_world", pathlib.Path(__file__).parent / "kafka_world.py")
assert spec is not None
assert spec.loader is not None
world = sys.modules.setdefault("kafka_world", importlib.util.module_from_spec(spec))
spec.loader.exec_module(world)

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
