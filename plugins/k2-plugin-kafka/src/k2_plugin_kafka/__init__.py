"""Kafka for k2: what this plugin offers. Light on purpose; numpy and confluent-kafka come in with the factory."""

from __future__ import annotations

from collections.abc import Iterable

from k2_plugin_kafka.settings import KafkaSettings
from k2core.plugin import Broker, Component, Context, hookimpl


def _broker(settings: KafkaSettings, context: Context) -> Broker:
    from k2_plugin_kafka.broker import KafkaBroker

    return KafkaBroker(settings, context)


@hookimpl
def k2_brokers() -> Iterable[Component[Broker]]:
    """The log `kafka`."""
    return [
        Component(
            name="kafka",
            summary="Kafka 3.7 or newer with a schema registry: many machines, several writers",
            settings=KafkaSettings,
            factory=_broker,
        )
    ]
