"""`GroupMembership`: a consumer group that only shares out partitions; nothing is read through it.

Cooperative rebalancing: who keeps a partition is not interrupted. `leaving` is called before partitions are given up.
Its offsets are notes for lag tools, read by nobody here. Faults survived: members that die or freeze (the others get
their share after `session_timeout_s`), brokers that are away (the share is nothing until they are back, for it may be
somebody else's), a note that is refused (told once). Told: brokers that will not have this member at all, by an error that
says why; it asks again as long as it is asked.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from k2_plugin_kafka.client import CLOSING_S, Told, away, common, logger_of, masked, translated
from k2_plugin_kafka.settings import KafkaSettings
from k2core.plugin import BrokerError, ConfigError, Leaving, Membership, Metrics, Offsets, Partition

ALLOWED_S = 6.0
"""Brokers' own `group.min.session.timeout.ms`, where nobody lowered it."""
REFUSED = {
    KafkaError.GROUP_AUTHORIZATION_FAILED: "let this user Read groups that begin with broker.group_prefix",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "let this user Read and Describe k2's topics",
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: "somebody who is not k2 is in this group: end it, or set broker.group_prefix",
    KafkaError.INVALID_GROUP_ID: "set broker.group_prefix",
    KafkaError.GROUP_MAX_SIZE_REACHED: "raise group.max.size on the brokers",
    KafkaError._FATAL: "",
}
"""Answers that mean that this member gets nothing until somebody does something, and what."""
MOVING = frozenset({KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS})
"""Why a note is refused while partitions move: no fault, the next owner writes the next one."""


class GroupMembership(Membership):
    """One member.

    Args:
        settings: Of `[broker]`.
        logger: Says what was refused.
        name: The group.
        topics: Whose partitions are shared out.
        leaving: Called before partitions are given up.
        metrics: Counts what is given and taken.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        logger: logging.Logger,
        name: str,
        topics: Sequence[str],
        leaving: Leaving | None,
        metrics: Metrics,
    ) -> None:
        self._metrics, self._asked = metrics, time.monotonic()
        self._settings, self._logger, self._topics, self._leaving = settings, logger, list(topics), leaving
        self._group = f"{settings.group_prefix}.{name}"
        self._told, self._held = Told(settings), set[Partition]()
        self._failed: Exception | None = None
        self._refused = logging.NOTSET
        self._session_s = settings.session_timeout_s
        self._asking = threading.RLock()
        self._client = self._joined()

    def partitions(self) -> frozenset[Partition]:
        """This member's share; see `Membership.partitions`."""
        before, self._asked = self._asked, time.monotonic()
        if not self._held:
            self._metrics.add("k2_kafka_unassigned_seconds_total", self._asked - before)
        with self._asking:
            self._serve()
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed
        if self._told.down and not self._held:
            raise away(self._settings, f"group {self._group}", self._told)
        return frozenset(self._held)

    def note(self, offsets: Offsets) -> None:
        """Write group offsets, for tools that show lag."""
        wanted = [TopicPartition(*place, offset) for place, offset in offsets.items()]
        try:
            if wanted:
                self._client.commit(offsets=wanted, asynchronous=True)
        except (KafkaException, RuntimeError) as error:  # the latter where it was closed
            self._note_refused(error.args[0])

    def close(self) -> None:
        """Leave the group."""
        self._leaving = None  # what was to be committed was: whoever closes is done
        if self._asking.acquire(timeout=CLOSING_S):
            try:
                self._close_client()
            finally:
                self._asking.release()

    def _close_client(self) -> None:
        """Leave with the client. Where a broker is frozen it waits for the answer to a note without end: it is left behind
        then, and the group finds out after `session_timeout_s`.
        """
        closing = threading.Thread(target=self._leave, args=(self._client,), name="k2-leave", daemon=True)
        closing.start()
        closing.join(CLOSING_S)
        if closing.is_alive():
            self._logger.warning("left without saying so group=%s: no answer in %g s", self._group, CLOSING_S)

    def _leave(self, client: Client) -> None:
        try:
            client.close()
        except (KafkaException, RuntimeError) as error:
            self._logger.warning("left without saying so group=%s: %s", self._group, error)

    def _joined(self) -> Client:
        with translated(self._settings, f"join group {self._group}", self._told):
            client = Client(self._properties(), logger=logger_of(self._logger))
            client.subscribe(self._topics, on_assign=self._given, on_revoke=self._asked_back, on_lost=self._lost)
        return client

    def _serve(self) -> None:
        """Let the client do what is due. What it reads by mistake is dropped: this client reads for nobody."""
        with translated(self._settings, f"group {self._group}", self._told):
            for _ in range(100):
                message = self._client.poll(0)
                if message is None:
                    return
                if (error := message.error()) is None:
                    self._told.heard()
                elif error.code() == KafkaError.INVALID_SESSION_TIMEOUT:
                    self._take_longer()
                elif error.code() in REFUSED and not self._held:
                    said = masked(error.str(), self._settings)
                    raise BrokerError(f"group {self._group}: {said}: {REFUSED[error.code()]}".rstrip(": "))

    def _take_longer(self) -> None:
        """Ask again with what brokers allow where nobody changed it.

        Raises:
            ConfigError: They refuse that too.
        """
        if self._session_s >= ALLOWED_S:
            raise ConfigError(
                f"brokers refuse a session of {self._session_s:g} s: set broker.session_timeout_s between their "
                "group.min.session.timeout.ms and group.max.session.timeout.ms"
            )
        self._session_s = ALLOWED_S
        self._logger.warning(
            "brokers refuse session_timeout_s=%g: a writer that dies is noticed after %g s; lower "
            "group.min.session.timeout.ms on the brokers", self._settings.session_timeout_s, ALLOWED_S,
        )  # fmt: skip
        self._close_client()
        self._client = self._joined()

    def _given(self, client: Client, places: list[TopicPartition]) -> None:
        client.incremental_assign([TopicPartition(one.topic, one.partition, 0) for one in places])
        client.pause(places)
        self._count("given", places)
        self._told.heard()
        self._held |= _named(places)

    def _asked_back(self, client: Client, places: list[TopicPartition]) -> None:
        going = _named(places) & self._held
        self._count("asked-back", places)
        try:
            if self._leaving is not None and going:
                self._leaving(frozenset(going))
        except Exception as error:  # noqa: BLE001 - through the client it could not pass; `partitions` raises it
            self._failed = error
        self._held -= going
        client.incremental_unassign(places)

    def _lost(self, client: Client, places: list[TopicPartition]) -> None:
        """Somebody else may have had them for a while: nothing may be committed for them any more."""
        self._logger.warning("partitions lost group=%s count=%d%s", self._group, len(places), self._told)
        self._count("lost", places)
        self._held -= _named(places)
        client.incremental_unassign(places)

    def _count(self, kind: str, places: list[TopicPartition]) -> None:
        if places:
            self._metrics.add("k2_kafka_rebalances_total", kind=kind)

    def _noted(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        refused = error or next((one.error for one in places if one.error is not None), None)
        if refused is None:
            self._refused = logging.NOTSET
            self._told.heard()
        else:
            self._note_refused(refused)

    def _note_refused(self, error: object) -> None:
        moving = isinstance(error, KafkaError) and error.code() in MOVING
        level = logging.INFO if moving else logging.WARNING
        if level > self._refused:  # once each, until one is taken again
            self._refused = level
            self._logger.log(
                level, "group offsets are not noted group=%s: %s; only lag tools need them", self._group, error
            )

    def _properties(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "queued.min.messages": 1,
            **common(settings, "member", self._told),
            "group.id": self._group,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": int(self._session_s * 1000),
            "heartbeat.interval.ms": int(settings.heartbeat_s * 1000),
            "max.poll.interval.ms": int(max(settings.poll_interval_s, self._session_s) * 1000),
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "latest",
            "on_commit": self._noted,
        }


def _named(places: list[TopicPartition]) -> set[Partition]:
    return {(one.topic, one.partition) for one in places}
