"""`GroupMembership`: a consumer group that only shares out partitions; nothing is read through it.

Cooperative rebalancing: who keeps a partition is not interrupted. `leaving` is called before partitions are given up.
Its offsets are notes for lag tools, read by nobody here. Faults survived: members that die or freeze (the others get
their share after `session_timeout_s`), brokers that are away (the share is nothing until they are back, for it may be
somebody else's), a note that is refused (told once).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from k2_plugin_kafka.client import Told, away, common, logger_of, translated
from k2_plugin_kafka.settings import KafkaSettings
from k2core.plugin import Leaving, Membership, Offsets, Partition

ALLOWED_S = 6.0
"""Brokers' own `group.min.session.timeout.ms`, where nobody lowered it."""


class GroupMembership(Membership):
    """One member.

    Args:
        settings: Of `[broker]`.
        logger: Says what was refused.
        name: The group.
        topics: Whose partitions are shared out.
        leaving: Called before partitions are given up.
    """

    def __init__(
        self, settings: KafkaSettings, logger: logging.Logger, name: str, topics: Sequence[str], leaving: Leaving | None
    ) -> None:
        self._settings, self._logger, self._topics, self._leaving = settings, logger, list(topics), leaving
        self._group = f"{settings.group_prefix}.{name}"
        self._told, self._held = Told(settings), set[Partition]()
        self._failed: Exception | None = None
        self._refused = False
        self._session_s = settings.session_timeout_s
        self._client = self._joined()

    def partitions(self) -> frozenset[Partition]:
        """This member's share; see `Membership.partitions`."""
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
        except KafkaException as error:
            self._note_refused(error.args[0])

    def close(self) -> None:
        """Leave the group."""
        self._leaving = None  # what was to be committed was: whoever closes is done
        self._client.close()

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
                if (error := message.error()) is not None and error.code() == KafkaError.INVALID_SESSION_TIMEOUT:
                    self._take_longer()
                elif error is None:
                    self._told.heard()

    def _take_longer(self) -> None:
        if self._session_s >= ALLOWED_S:
            return
        self._session_s = ALLOWED_S
        self._logger.warning(
            "brokers refuse session_timeout_s=%g: a writer that dies is noticed after %g s; lower "
            "group.min.session.timeout.ms on the brokers", self._settings.session_timeout_s, ALLOWED_S,
        )  # fmt: skip
        self._client.close()
        self._client = self._joined()

    def _given(self, client: Client, places: list[TopicPartition]) -> None:
        client.incremental_assign([TopicPartition(one.topic, one.partition, 0) for one in places])
        client.pause(places)
        self._told.heard()
        self._held |= _named(places)

    def _asked_back(self, client: Client, places: list[TopicPartition]) -> None:
        going = _named(places) & self._held
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
        self._held -= _named(places)
        client.incremental_unassign(places)

    def _noted(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        refused = error or next((one.error for one in places if one.error is not None), None)
        if refused is None:
            self._refused = False
            self._told.heard()
        else:
            self._note_refused(refused)

    def _note_refused(self, error: KafkaError) -> None:
        if not self._refused:
            self._refused = True
            self._logger.warning(
                "group offsets are not noted group=%s: %s; only lag tools need them", self._group, error
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
