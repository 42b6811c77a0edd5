"""Which topics there are to be: those of the configured connectors, and those that the log already has.

Also what connectors declare of each data type: the writer and every tail must judge records by the same facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from k2core.cli.session import advised
from k2core.config.build import Assembly
from k2core.discovery import Registry
from k2core.errors import ConfigError, TopicChangedError, TopicMissingError
from k2core.interfaces.broker import Broker, TopicSpec
from k2core.interfaces.frames import ChannelFacts, ConnectorFacts
from k2core.interfaces.importer import Importer
from k2core.records.data_type import DataType
from k2core.records.topics import Topic

DEAD_LETTERS = "dead_letters"


def topics_of(data_type: str, log: Broker, declared: Iterable[Topic] = ()) -> list[str]:
    """Topics of a data type: in the log, and those that are declared. Sorted."""
    names = {topic.name for topic in declared if topic.data_type == data_type}
    return sorted(names | {name for name in log.topics() if is_of(name, data_type)})


def declared_topics(assembly: Assembly) -> list[Topic]:
    """Topics that the configured connectors and imports write, dead letters too; none where none is configured."""
    asked = [*assembly.asked(), *((i.facts, tuple(i.facts.channels)) for i in assembly.importers().values())]
    found = [
        Topic(facts.asset_class, name, facts.exchange) for facts, names in asked for name in (*names, DEAD_LETTERS)
    ]
    return list(dict.fromkeys(found))


def consumer_name(sink: str, data_type: DataType) -> str:
    """Name under which the log knows a table as a consumer: retention keeps what it has not released."""
    return f"{sink}.{data_type.table}"


@contextmanager
def existing_log(assembly: Assembly) -> Iterator[Broker]:
    """The log, opened by a command that only reads: where there is none, none is made.

    Raises:
        ConfigError: There is none; the message says what makes one.
    """
    log, section = assembly.broker(), assembly.config.broker
    if not log.exists():
        path = getattr(assembly.config.settings(section, assembly.registry)[1], "path", section.use)
        file = assembly.config.layers.file or "no k2.toml, defaults"
        raise ConfigError(
            f"there is no log at {path} yet (settings: {file}): run `k2 up` (or `k2 ingest`, or `k2 demo`) first, or name "
            "the settings of the log that you mean with --config"
        )
    with log:
        yield log


def ensure_topics(
    log: Broker, topics: Iterable[Topic], data_types: Mapping[str, DataType], named: Iterable[Topic] = ()
) -> None:
    """Make sure that topics are there; the one place on the data path that may make some.

    Args:
        log: The log.
        topics: Those that are needed.
        data_types: By name.
        named: Those of them that the settings do not speak of, so that they have to be named to be made.

    Raises:
        TopicMissingError: One is missing, and this log makes none by itself.
        BrokerError: A topic is another than it should be.
    """
    wanted = specs_of(topics, data_types)
    if log.makes_topics:
        log.ensure_topics(wanted)
    else:
        require_topics(log, wanted, [topic.name for topic in named])


def specs_of(topics: Iterable[Topic], data_types: Mapping[str, DataType]) -> list[TopicSpec]:
    """What is wanted of topics."""
    from k2core.broker.specs import topic_spec

    return [topic_spec(topic, data_types[topic.data_type]) for topic in topics]


def require_topics(log: Broker, wanted: Sequence[TopicSpec], named: Sequence[str] = ()) -> None:
    """Make sure that topics are there, and make none.

    Raises:
        TopicMissingError: One is missing.
        TopicChangedError: One has another number of partitions.
    """
    there = log.topics()
    if missing := [spec.name for spec in wanted if spec.name not in there]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        command = " ".join(["topics apply", *(name for name in named if name in missing)])
        raise TopicMissingError(f"the log has no topic {missing[0]}{more}: run `{advised(command)}` first")
    for spec in wanted:
        if (have := there[spec.name].partitions) != spec.partitions:
            raise TopicChangedError(
                f"topic {spec.name} has {have} partitions, k2 needs {spec.partitions}, and the number is fixed once a topic "
                "exists: delete that topic if nothing in it is needed, or use another cluster"
            )


def needed_topics(assembly: Assembly, log: Broker) -> list[Topic]:
    """All that these settings write to `log`: what is declared, what the log has of known data types, their dead letters,
    and the topic that writers tell their level on.

    Raises:
        K2Error: The settings are wrong, or the log does not answer.
    """
    from k2core.degradation.events import LEVELS_TOPIC

    data_types = assembly.data_types()
    held = [Topic.parse(name) for name in log.topics() if any(is_of(name, kind) for kind in data_types)]
    found = [*declared_topics(assembly), *(topic for topic in held if data_types[topic.data_type].table)]
    letters = [Topic(topic.asset_class, DEAD_LETTERS, topic.exchange) for topic in found]
    return sorted(dict.fromkeys([*found, *letters, LEVELS_TOPIC]))


def is_of(topic: str, data_type: str) -> bool:
    """Whether a topic carries a data type; topics of other forms carry none."""
    try:
        return Topic.parse(topic).data_type == data_type
    except ValueError:
        return False


def channel_facts(registry: Registry, data_type: str, importers: Iterable[Importer] = ()) -> dict[str, ChannelFacts]:
    """By exchange, what the installed connectors, and imports of other exchanges, declare of a data type."""
    found = {i.facts.exchange: i.facts.channels[data_type] for i in importers if data_type in i.facts.channels}
    for entry in registry.usable("connector").values():
        facts: ConnectorFacts = entry.component.capabilities
        if data_type in facts.channels:
            found[facts.exchange] = facts.channels[data_type]
    return found
