"""`KafkaBroker`: Kafka and a schema registry as k2's log. Making it does no I/O; each part is reached when first needed.

    records     producer, consumer     offsets and append times are the brokers' own; a position is never guessed
    topics      cluster, topics        made by `k2 topics apply` alone, never on the data path
    schemas     lineage, registry      ids on disk too, for when the registry is away
    shares      membership             a group that reads nothing

Faults survived and told: see those modules.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence

from k2_plugin_kafka.blocks import Versions
from k2_plugin_kafka.cluster import EARLIEST, LATEST, Cluster, had_records
from k2_plugin_kafka.consumer import KafkaConsumer
from k2_plugin_kafka.lineage import Lineages
from k2_plugin_kafka.membership import GroupMembership
from k2_plugin_kafka.producer import Flight, KafkaProducer
from k2_plugin_kafka.registry import Registry
from k2_plugin_kafka.settings import KafkaSettings
from k2_plugin_kafka.topics import Deploying
from k2core.plugin import (
    Broker,
    Consumer,
    Context,
    Finding,
    Leaving,
    Membership,
    Offsets,
    Partition,
    Producer,
    Topic,
    TopicChange,
    TopicInfo,
    TopicMissingError,
    TopicSpec,
)

PREFIXES = ("market.", "k2.")
"""Begin the names of topics that are ours; a cluster may have many others."""


class KafkaBroker(Broker):
    """The log in Kafka.

    Args:
        settings: Of `[broker]`.
        context: Clock, logger, and the data types whose schemas are k2's own.
    """

    makes_topics = False

    def __init__(self, settings: KafkaSettings, context: Context) -> None:
        self._settings, self._context, self._logger = settings, context, context.logger
        self._metrics = metrics = context.metrics
        self._cluster, self._registry = Cluster(settings, context.logger, metrics), Registry(settings, metrics)
        self._lineages = Lineages(self._registry, settings.schema_cache, context.logger, self._schemas, metrics)
        self._deploying = Deploying(settings, self._cluster, self._registry, self._lineages)
        self._specs: dict[str, TopicSpec] = {}
        self._users: weakref.WeakSet[Producer | Consumer | Membership] = weakref.WeakSet()
        self._flights = flights = dict[int, Flight]()
        metrics.collect(
            lambda: metrics.set("k2_kafka_unconfirmed_records", sum(f.pending for f in [*flights.values()]))
        )
        self._closed_us = 0

    def plan(self, specs: Sequence[TopicSpec]) -> Sequence[TopicChange]:
        """What `ensure_topics` would do."""
        return self._deploying.plan(specs)

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Make topics, their settings, and subjects as they should be; returns when all can be written to."""
        self._deploying.apply(specs)
        self._specs |= {spec.name: spec for spec in specs}

    def findings(self) -> Iterable[Finding]:
        """Brokers, their version and settings, clock, registry."""
        from k2_plugin_kafka.findings import look

        return look(self._settings, self._is_own, self._context.clock, self._logger)

    def topics(self) -> Mapping[str, TopicInfo]:
        """Every topic of ours by name."""
        return self._cluster.topics(self._is_own)

    def producer(self) -> Producer:
        """A new producer."""
        made = KafkaProducer(
            self._settings, self._logger, self._one, self._lineages, self._metrics, self._flights
        )  # fmt: skip
        self._users.add(made)
        return made

    def consumer(self, topics: Sequence[str]) -> Consumer:
        """A new consumer of all partitions of `topics`, positioned at 0."""
        held = self._named(topics)
        versions = {name: self._versions(f"{name}-value") for name in held}
        find = self._cluster.infos
        self._users.add(made := KafkaConsumer(self._settings, self._logger, held, find, versions, self._metrics))
        return made

    def join(self, name: str, topics: Sequence[str], leaving: Leaving | None = None) -> Membership:
        """A place in the consumer group of this name."""
        self._named(topics)
        made = GroupMembership(self._settings, self._logger, name, topics, leaving, self._metrics)
        self._users.add(made)
        return made

    def register(self, name: str, topics: Sequence[str]) -> None:
        """Kafka keeps records by time, whoever reads: nothing to do."""
        self._named(topics)

    def release(self, name: str, offsets: Offsets) -> None:
        """Kafka keeps records by time, whoever reads: nothing to do."""

    def ends(self, topics: Sequence[str]) -> dict[Partition, int]:
        """Next offset of every partition that ever had a record."""
        found = self._cluster.offsets(self._counts(topics), LATEST)
        return {place: end for place, end in found.items() if end > 0}

    def starts(self, topics: Sequence[str]) -> dict[Partition, int]:
        """First offset still held, of every partition that ever had a record."""
        counts = self._counts(topics)
        return had_records(self._cluster.offsets(counts, LATEST), self._cluster.offsets(counts, EARLIEST))

    def closed_until(self, topics: Sequence[str]) -> int:
        """A time, Unix µs, that no broker will stamp a record with any more.

        Kafka tells its time to nobody; what is older than this machine's time by more than `clock_skew_s` is closed.
        `k2 doctor` compares the clocks.
        """
        now_us = self._context.clock.now_us() - int(self._settings.clock_skew_s * 1e6)
        self._closed_us = max(self._closed_us, now_us)
        return self._closed_us

    def close(self) -> None:
        """Close everything that was made here."""
        for user in list(self._users):
            user.close()
        self._cluster.close()

    def _schemas(self, subject: str) -> Sequence[str]:
        """k2's own lineage of a subject: of its data type, or as it was asked for."""
        import json

        name = subject.removesuffix("-value")
        if name in self._specs:
            return self._specs[name].schemas
        try:
            kind = self._context.data_types.get(Topic.parse(name).data_type)
        except ValueError:
            return ()
        return [json.dumps(kind.avro_schema(n)) for n in range(1, kind.versions + 1)] if kind else ()

    def _is_own(self, name: str) -> bool:
        return name.startswith(PREFIXES) or name in self._specs

    def _versions(self, subject: str) -> Versions:
        self._lineages.get(subject)
        return Versions(lambda number: self._lineages.version(subject, number))

    def _counts(self, topics: Sequence[str]) -> dict[str, int]:
        wanted = set(topics)
        return {name: count for name, count in self._cluster.names().items() if name in wanted}

    def _one(self, name: str) -> TopicInfo:
        return self._named([name])[name]

    def _named(self, topics: Sequence[str]) -> dict[str, TopicInfo]:
        wanted = dict.fromkeys(topics)
        held = self._cluster.topics(lambda name: name in wanted)
        if missing := [name for name in wanted if name not in held]:
            raise TopicMissingError(
                f"Kafka at {self._settings.bootstrap_servers} has no topic {', '.join(missing)}: run k2 topics apply"
            )
        return held
