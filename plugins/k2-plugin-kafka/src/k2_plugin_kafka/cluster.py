"""`Cluster`: what is asked of the brokers besides records: topics with their ids, ends, settings. Each within its time.

Faults survived: brokers that are away or frozen (`BrokerAwayError` after `answer_timeout_s`), a topic that is made or
removed while it is asked for, a client that waits for a broker that died.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from k2_plugin_kafka.client import MISSING, SOON, Told, away, common, error_of, logger_of, translated
from k2_plugin_kafka.settings import KafkaSettings
from k2core.plugin import BrokerAwayError, BrokerError, Metrics, Offsets, Partition, TopicInfo

LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
NEWEST: OffsetSpec = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]
PAUSE_S = 0.05
"""Between two questions, where a topic that is being made gives an answer of the moment."""
FIRST_S, HASTY = 1.0, 2
"""So long at most, and a fifth of all patience, so many clients wait for whoever is named controller; the next gets the rest."""
T = TypeVar("T")


class Cluster:
    """One Kafka, asked through one admin client that is made when first needed.

    Args:
        settings: Of `[broker]`.
        logger: For the client's own lines.
        metrics: Measures answers; None: nobody looks.
    """

    def __init__(self, settings: KafkaSettings, logger: logging.Logger, metrics: Metrics | None = None) -> None:
        self.settings, self.told, self._metrics = settings, Told(settings), metrics or Metrics()
        self._logger, self._lock = logger, threading.Lock()
        self._client: AdminClient | None = None

    @property
    def admin(self) -> AdminClient:
        """The client."""
        with self._lock:
            if self._client is None:
                with translated(self.settings, "connect", self.told):
                    given = common(self.settings, "admin", self.told)
                    self._client = AdminClient(given, logger=logger_of(self._logger))
            return self._client

    def close(self) -> None:
        """Let the client go; the next question makes another."""
        with self._lock:
            self._client = None

    def names(self) -> dict[str, int]:
        """Every topic of the cluster, with its number of partitions."""
        found = self._metadata("list topics").topics
        return {
            name: len(one.partitions)
            for name, one in found.items()
            if one.error is None or one.error.code() not in MISSING
        }

    def describe(self, names: Iterable[str]) -> dict[str, Any]:
        """The client's descriptions of those topics that there are."""
        wanted, doing = list(names), "describe topics"

        def ask(admin: AdminClient, within_s: float) -> dict[str, Any]:
            with translated(self.settings, doing, self.told):
                asked = admin.describe_topics(TopicCollection(wanted), request_timeout=within_s)
            return {name: told for name, future in asked.items() if (told := self._unless(SOON, doing, future))}

        return self._of_controller(ask) if wanted else {}

    def topics(self, own: Callable[[str], bool]) -> dict[str, TopicInfo]:
        """Topics whose name is of interest, with their ids."""
        return self.infos(name for name in self.names() if own(name))

    def infos(self, names: Iterable[str]) -> dict[str, TopicInfo]:
        """Those of some topics that there are, with their ids."""
        found = self.describe(names)
        return {name: TopicInfo(name, str(one.topic_id), len(one.partitions)) for name, one in sorted(found.items())}

    def offsets(self, partitions: Mapping[str, int], spec: OffsetSpec) -> dict[Partition, int]:
        """An offset of every partition of topics, as readers of committed records see it."""
        places = {TopicPartition(name, p): spec for name, count in partitions.items() for p in range(count)}
        if not places:
            return {}
        found = self._patiently(
            "list offsets",
            self.admin,
            lambda admin: admin.list_offsets(
                places, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=self.settings.answer_timeout_s
            ),
            lambda told: told.offset >= 0,
        )  # the client has -1, and no error, where a leader has just died
        offsets = {(place.topic, place.partition): told.offset for place, told in found.items()}
        if left := [(one.topic, one.partition) for one in places if (one.topic, one.partition) not in offsets]:
            there = self.names()  # what was removed meanwhile has no offset; of the rest nobody may think so
            for name, number in left:
                if number < there.get(name, 0):
                    raise away(self.settings, f"list offsets: no answer for {name}/{number}", self.told)
        return offsets

    def stamps(self, partitions: Mapping[str, int], spec: OffsetSpec) -> list[int]:
        """Times, Unix ms, that go with an offset of every partition that has one."""
        places = {TopicPartition(name, p): spec for name, count in partitions.items() for p in range(count)}
        if not places:
            return []
        timeout = self.settings.answer_timeout_s
        found = self._patiently(
            "list times", self.admin, lambda admin: admin.list_offsets(places, request_timeout=timeout)
        )
        return [told.timestamp for told in found.values() if told.timestamp > 0]

    def configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """Settings of topics."""
        wanted = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        found = self._config(wanted) if wanted else {}
        return {resource.name: values for resource, values in found.items()}

    def brokers(self) -> list[str]:
        """Numbers of the brokers that are there."""
        return [str(number) for number in self._metadata("list brokers").brokers]

    def broker_config(self, number: str) -> dict[str, str]:
        """Settings of one broker."""
        return next(iter(self._config([ConfigResource(ResourceType.BROKER, number)]).values()))

    def create(self, wanted: Sequence[NewTopic]) -> None:
        """Make topics; one that somebody else makes at the same time is there too."""

        def ask(admin: AdminClient, within_s: float) -> None:
            with translated(self.settings, "make topics", self.told):
                asked = admin.create_topics(list(wanted), request_timeout=within_s)
            for name, future in asked.items():
                self._unless({KafkaError.TOPIC_ALREADY_EXISTS}, f"make topic {name}", future)

        self._of_controller(ask)

    def alter(self, topic: str, values: Mapping[str, str]) -> None:
        """Change settings of a topic."""
        entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in values.items()]
        changed = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)]

        def ask(admin: AdminClient, within_s: float) -> None:
            for future in admin.incremental_alter_configs(changed, request_timeout=within_s).values():
                self._unless(set(), f"change topic {topic}", future)

        self._of_controller(ask)

    def wait_ready(self, names: Sequence[str]) -> None:
        """Wait until every partition of topics has its leader and all replicas in sync.

        Raises:
            BrokerAwayError: Not within `ready_timeout_s`.
        """
        deadline, unready = time.monotonic() + self.settings.ready_timeout_s, list(names)
        while unready:
            try:
                found = self.describe(unready)
            except BrokerAwayError:  # a controller is being elected, as when a broker comes back
                if time.monotonic() > deadline:
                    raise
                found = {}
            unready = [name for name in unready if name not in found or not _ready(found[name])]
            if unready and time.monotonic() > deadline:
                raise BrokerError(
                    f"topic {unready[0]} is not ready after {self.settings.ready_timeout_s:g} s: not every partition has a "
                    "leader and all its replicas in sync; see to the brokers, then run k2 topics apply again"
                )
            if unready:
                threading.Event().wait(PAUSE_S)
        self.offsets({name: len(one.partitions) for name, one in self.describe(names).items()}, LATEST)

    def _metadata(self, doing: str) -> Any:
        admin, started = self.admin, time.monotonic()
        with translated(self.settings, doing, self.told):
            try:
                found = admin.list_topics(timeout=self.settings.answer_timeout_s)
            except KafkaException:
                self._discard(admin)
                raise
        if not found.brokers:  # one that starts tells for a moment of none, and may tell of no topics
            raise away(self.settings, f"{doing}: no broker is ready", self.told)
        self._metrics.observe("k2_kafka_answer_seconds", time.monotonic() - started)
        self.told.heard()
        return found

    def _discard(self, admin: AdminClient) -> None:
        """Let a client go that got no answer: another one knows nothing, and so nothing wrong."""
        admin.poll(0)  # what it has to say of its connections: refused, not trusted, wrong password
        self._metrics.add("k2_kafka_clients_discarded_total", role="admin")
        with self._lock:
            if self._client is admin:
                self._client = None

    def _of_controller(self, ask: Callable[[AdminClient, float], T]) -> T:
        """Ask what goes to the broker that is named controller; through another client where none answers.

        Any broker may be named (KRaft), one that has just died too, and a client believes it for minutes.

        Args:
            ask: Takes the client and how many seconds it may wait for its answer.

        Raises:
            BrokerAwayError: Not within `answer_timeout_s`.
        """
        longest = self.settings.answer_timeout_s
        until, tried = time.monotonic() + longest, 0
        while True:
            admin, left = self.admin, until - time.monotonic()
            try:
                return ask(admin, max(PAUSE_S, left if tried >= HASTY else min(FIRST_S, longest / 5, left)))
            except BrokerAwayError:
                self._discard(admin)
                if time.monotonic() > until - PAUSE_S:
                    raise
            tried += 1
            threading.Event().wait(PAUSE_S)

    def _config(self, wanted: list[Any]) -> dict[Any, dict[str, str]]:
        def ask(admin: AdminClient, within_s: float) -> dict[Any, Any]:
            return self._patiently(
                "describe settings", admin, lambda admin: admin.describe_configs(wanted, request_timeout=within_s)
            )

        found = self._of_controller(ask)
        return {one: {name: entry.value for name, entry in values.items()} for one, values in found.items()}

    def _patiently(
        self,
        doing: str,
        admin: AdminClient,
        ask: Callable[[AdminClient], Mapping[Any, Any]],
        whole: Callable[[Any], bool] = lambda told: True,
    ) -> dict[Any, Any]:
        """Ask again while a topic that was just made, or whose leader moved, is not known everywhere yet. The client is held
        in here: one that is let go of meanwhile, by whoever got no answer, would never answer.
        """
        until, last = time.monotonic() + self.settings.answer_timeout_s, False
        while True:
            with translated(self.settings, doing, self.told):
                asked = ask(admin)
            last = last or time.monotonic() > until
            every = {key: self._unless(MISSING if last else SOON, doing, future) for key, future in asked.items()}
            found = {key: told for key, told in every.items() if told is not None and whole(told)}
            if last or len(found) == len(every):
                return found
            last = time.monotonic() > until - PAUSE_S
            threading.Event().wait(PAUSE_S)

    def _unless(self, passing: set[int], doing: str, future: Any) -> Any:
        """An answer; None for an error that may be passed over."""
        try:
            # Not `result`, which ties future, error and this frame, with the client in it, into a knot for the collector.
            error = future.exception(2 * self.settings.answer_timeout_s)
        except TimeoutError:
            raise away(self.settings, f"{doing}: no answer", self.told) from None
        if error is None:
            self.told.heard()
            return future.result()
        if not isinstance(error, KafkaException):
            raise error
        if error.args[0].code() in passing:
            return None
        raise error_of(self.settings, doing, error.args[0], self.told)


def _ready(description: Any) -> bool:
    return all(
        p.leader is not None and p.leader.id >= 0 and len(p.isr) == len(p.replicas) for p in description.partitions
    )


def had_records(ends: Offsets, found: Offsets) -> dict[Partition, int]:
    """Of the partitions that ever had a record."""
    return {place: offset for place, offset in found.items() if ends.get(place, 0) > 0}
