"""A plugin: the embedded log as one that makes no topics by itself; it can be away, frozen, or have something to say."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import Field

from k2core.broker.embedded import EmbeddedBroker
from k2core.broker.settings import EmbeddedSettings
from k2core.plugin import (
    Broker,
    BrokerAwayError,
    Component,
    Context,
    Finding,
    TopicChange,
    TopicSpec,
    hookimpl,
)


class PlannedSettings(EmbeddedSettings):
    """`[broker] use = "planned"`."""

    state: str = Field("well", description="well, away, frozen or strange.")


class PlannedBroker(EmbeddedBroker):
    """Topics only by `k2 topics apply`; a topic named `strange` has a setting of its own."""

    makes_topics = False

    def __init__(self, settings: PlannedSettings, context: Context) -> None:
        super().__init__(settings, context.clock, context.logger)
        self._state = settings.state

    def __enter__(self) -> Any:
        if self._state == "away":
            raise BrokerAwayError("planned at nowhere: connection refused")
        if self._state == "frozen":
            threading.Event().wait()
        return super().__enter__()

    def exists(self) -> bool:
        return True

    def plan(self, specs: Sequence[TopicSpec]) -> Sequence[TopicChange]:
        found = list(super().plan(specs))
        if self._state == "strange" and not found:
            found.append(TopicChange("setting", f"{specs[0].name} retention.ms", "1", "2"))
        return found

    def findings(self) -> Iterable[Finding]:
        yield Finding("planned", self._state == "well", f"is {self._state}", "start it")
        if self._state == "frozen":
            threading.Event().wait()


def _broker(settings: PlannedSettings, context: Context) -> Broker:
    return PlannedBroker(settings, context)


@hookimpl
def k2_brokers() -> Iterable[Component[Broker]]:
    """The broker `planned`."""
    return [Component(name="planned", summary="for tests", settings=PlannedSettings, factory=_broker)]
