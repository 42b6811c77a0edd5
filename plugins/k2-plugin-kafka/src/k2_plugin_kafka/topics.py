"""`Deploying`: what topics and subjects should be, what is different, and making it so. Repeatable, any part at a time.

Nothing of this happens on the data path: `k2 topics plan|apply` and tests call it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from confluent_kafka.admin import NewTopic

from k2_plugin_kafka.cluster import Cluster
from k2_plugin_kafka.lineage import Lineage, Lineages, unlike
from k2_plugin_kafka.registry import SUITABLE, Registry, canonical
from k2_plugin_kafka.settings import KafkaSettings
from k2core.plugin import BrokerError, SchemaError, TopicChange, TopicChangedError, TopicSpec

LEVEL = "BACKWARD"


class Deploying:
    """Compares and applies.

    Args:
        settings: What topics should be like.
        cluster: The brokers.
        registry: The subjects.
        lineages: Learn what was registered.
    """

    def __init__(self, settings: KafkaSettings, cluster: Cluster, registry: Registry, lineages: Lineages) -> None:
        self._settings, self._cluster, self._registry, self._lineages = settings, cluster, registry, lineages

    def plan(self, specs: Sequence[TopicSpec]) -> list[TopicChange]:
        """What `apply` would do."""
        found = self._cluster.describe([name for name in self._cluster.names() if name in {s.name for s in specs}])
        configs = self._cluster.configs(list(found))
        changes: list[TopicChange] = []
        for spec in specs:
            if spec.name in found:
                changes += self._of_topic(spec, found[spec.name], configs.get(spec.name, {}))
            else:
                changes.append(self._missing(spec))
            changes += self._of_subject(spec)
        return changes

    def apply(self, specs: Sequence[TopicSpec]) -> None:
        """Make it so; returns when every partition can be written to.

        Raises:
            TopicChangedError: A topic is what it cannot be made into.
            SchemaError: The same of a subject.
        """
        changes = self.plan(specs)
        for change in changes:
            if change.refused:
                raise _refusal(change)
        self._make([s for s in specs if any(c.kind == "topic" and c.name == s.name for c in changes)])
        self._alter([c for c in changes if c.kind == "setting"])
        for spec in specs:
            self._register(spec)
        self._cluster.wait_ready([spec.name for spec in specs])

    def _wanted(self) -> dict[str, str]:
        """Settings of a topic of ours."""
        settings = self._settings
        return {
            "retention.ms": str(int(settings.retention_hours * 3_600_000)),
            "min.insync.replicas": str(settings.in_sync),
            "message.timestamp.type": "LogAppendTime",
            "cleanup.policy": "delete",
            "max.message.bytes": str(settings.topic_bytes),
        }

    def _missing(self, spec: TopicSpec) -> TopicChange:
        replicas, brokers = self._settings.replication_factor, len(self._cluster.brokers())
        refused = ""
        if replicas > brokers:
            refused = (
                f"topic {spec.name}: broker.replication_factor is {replicas}, and there {_are(brokers, 'broker')}: start more, "
                f"or set broker.replication_factor = {brokers}"
            )
        want = f"{spec.partitions} partitions, {_count(replicas, 'replica')}"
        return TopicChange("topic", spec.name, "", want, refused)

    def _of_topic(self, spec: TopicSpec, there: object, config: Mapping[str, str]) -> Iterator[TopicChange]:
        partitions: Sequence[object] = there.partitions  # type: ignore[attr-defined]
        if len(partitions) != spec.partitions:
            yield TopicChange(
                "topic", spec.name, f"{len(partitions)} partitions", f"{spec.partitions} partitions",
                f"topic {spec.name} has {len(partitions)} partitions, {spec.partitions} are wanted, and the number is fixed "
                "once a topic exists: delete that topic if nothing in it is needed, or use another cluster",
            )  # fmt: skip
        replicas = min(len(p.replicas) for p in partitions)  # type: ignore[attr-defined]
        if replicas < self._settings.replication_factor:
            yield TopicChange(
                "topic", spec.name, _count(replicas, "replica"),
                _count(self._settings.replication_factor, "replica"),
                f"topic {spec.name} has {replicas} replicas, broker.replication_factor is "
                f"{self._settings.replication_factor}: move it with kafka-reassign-partitions, or set "
                f"broker.replication_factor = {replicas}",
            )  # fmt: skip
        for key, want in self._wanted().items():
            have = config.get(key, "")
            if have != want and not (key == "max.message.bytes" and have.isdigit() and int(have) >= int(want)):
                yield TopicChange("setting", f"{spec.name} {key}", have, want)

    def _of_subject(self, spec: TopicSpec) -> Iterator[TopicChange]:
        held, wanted = self._lineages.refresh(spec.subject), [canonical(text) for text in spec.schemas]
        have, want = _count(len(held.schemas), "schema") if held.schemas else "", _count(len(wanted), "schema")
        if why := unlike(held, wanted):
            yield TopicChange("subject", spec.subject, have, want, why)
        elif len(held.schemas) < len(wanted):
            yield TopicChange("subject", spec.subject, have, want)
        if (level := self._registry.level(spec.subject)) not in SUITABLE:
            yield TopicChange("compatibility", spec.subject, level, LEVEL)

    def _register(self, spec: TopicSpec) -> Lineage:
        """Register what is missing, oldest first, each checked by the registry against the one before."""
        held = self._lineages.refresh(spec.subject)
        for schema in spec.schemas[len(held.schemas) :]:
            self._registry.register(spec.subject, schema)
            self._level(spec.subject)  # of a subject that nobody registered, some registries take none
        self._level(spec.subject)
        return self._lineages.refresh(spec.subject)

    def _level(self, subject: str) -> None:
        if self._registry.level(subject) not in SUITABLE:
            self._registry.set_level(subject, LEVEL)

    def _alter(self, changes: Sequence[TopicChange]) -> None:
        by_topic: dict[str, dict[str, str]] = {}
        for change in changes:
            topic, _, key = change.name.partition(" ")
            by_topic.setdefault(topic, {})[key] = change.want
        for topic, values in by_topic.items():
            self._cluster.alter(topic, values)

    def _make(self, specs: Sequence[TopicSpec]) -> None:
        if not specs:
            return
        replicas = self._settings.replication_factor
        try:
            self._cluster.create([NewTopic(s.name, s.partitions, replicas, config=self._wanted()) for s in specs])
        except BrokerError as error:
            if "eplication factor" in str(error):
                raise BrokerError(f"{error}; set broker.replication_factor to the number of brokers") from error
            raise


def _refusal(change: TopicChange) -> Exception:
    kind = SchemaError if change.kind in ("subject", "compatibility") else TopicChangedError
    return kind(change.refused)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _are(number: int, what: str) -> str:
    return f"{'is' if number == 1 else 'are'} {_count(number, what)}"
