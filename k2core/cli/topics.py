"""Which topics there are to be: those of the configured connectors, and those that the log already has.

Also what connectors declare of each data type: the writer and every tail must judge records by the same facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from k2core.config.build import Assembly
from k2core.discovery import Registry
from k2core.interfaces.broker import Broker
from k2core.interfaces.frames import ChannelFacts, ConnectorFacts
from k2core.records.data_type import DataType
from k2core.records.topics import Topic

DEAD_LETTERS = "dead_letters"


def topics_of(data_type: str, log: Broker, declared: Iterable[Topic] = ()) -> list[str]:
    """Topics of a data type: in the log, and those that are declared. Sorted."""
    names = {topic.name for topic in declared if topic.data_type == data_type}
    return sorted(names | {name for name in log.topics() if is_of(name, data_type)})


def declared_topics(assembly: Assembly) -> list[Topic]:
    """Topics that the configured connectors write, dead letters too; none where none is configured."""
    return [
        Topic(facts.asset_class, name, facts.exchange)
        for facts, data_types in assembly.asked()
        for name in (*data_types, DEAD_LETTERS)
    ]


def ensure_topics(log: Broker, topics: Iterable[Topic], data_types: Mapping[str, DataType]) -> None:
    """Create what is missing.

    Raises:
        BrokerError: A topic is another than it should be.
    """
    from k2core.broker.specs import topic_spec

    log.ensure_topics([topic_spec(topic, data_types[topic.data_type]) for topic in topics])


def is_of(topic: str, data_type: str) -> bool:
    """Whether a topic carries a data type; topics of other forms carry none."""
    try:
        return Topic.parse(topic).data_type == data_type
    except ValueError:
        return False


def channel_facts(registry: Registry, data_type: str) -> dict[str, ChannelFacts]:
    """By exchange, what the installed connectors declare of a data type."""
    found: dict[str, ChannelFacts] = {}
    for entry in registry.usable("connector").values():
        facts: ConnectorFacts = entry.component.capabilities
        if data_type in facts.channels:
            found[facts.exchange] = facts.channels[data_type]
    return found
