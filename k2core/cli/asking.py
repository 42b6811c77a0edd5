"""Which symbols the exchanges know: asked for `k2 config check --online`, and told while `k2 up` runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from k2core.errors import K2Error
from k2core.interfaces.connector import WebSocketFeed

if TYPE_CHECKING:
    from k2core.config.build import Assembly, Capture
    from k2core.telemetry.status import Status

LIMIT_S = 30.0


def ask(assembly: Assembly) -> tuple[list[str], list[str]]:
    """Ask every configured exchange over REST which of the symbols it does not know.

    Returns:
        Problems (symbols that are unknown) and notes (exchanges that could not be asked), a line each.
    """
    problems: list[str] = []
    notes: list[str] = []
    for capture in assembly.captures():
        if not isinstance(capture.source, WebSocketFeed):
            continue
        where = assembly.config.layers.where(("connectors", capture.instance, "symbols"))
        try:
            unknown = asyncio.run(_unknown(capture.source, capture))
        except (K2Error, OSError, TimeoutError) as error:
            why = " ".join(str(error).split()) or "no answer in time"
            notes.append(f"{where}: {capture.facts.exchange} could not be asked which symbols it knows: {why}")
            continue
        if unknown:
            problems.append(f"{where}: {capture.facts.exchange} does not know {', '.join(unknown)}: correct it")
    return problems, notes


async def _unknown(feed: WebSocketFeed, capture: Capture) -> list[str]:
    from k2core.feed.rest import HttpRest

    async with asyncio.timeout(LIMIT_S):
        found = await feed.check(HttpRest(logging.getLogger(f"k2.connector.{capture.instance}")))
    return sorted({one.symbol for one in found})


def left_out(statuses: Mapping[str, Status]) -> dict[str, str]:
    """What ingest does not capture although the settings ask for it: exchange and subscription → why."""
    ingest = statuses.get("ingest")
    found: dict[str, str] = {}
    for exchange, facts in (ingest.facts if ingest else {}).items():
        if isinstance(facts, dict):
            unknown = dict.fromkeys(facts.get("unknown_subscriptions", ()), "the exchange does not know it")
            for name, why in {**unknown, **facts.get("refused_subscriptions", {})}.items():
                found[f"{exchange} {name}"] = str(why)
    return found


class LeftOut:
    """Says once, for each subscription that is left out, that it is not captured and why.

    Args:
        say: Prints a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._told = say, dict[str, str]()

    def tick(self, statuses: Mapping[str, Status]) -> None:
        """Look at the newest statuses."""
        for name, why in (now := left_out(statuses)).items():
            if self._told.get(name) != why:
                self._say(f"NOT CAPTURED: {name}: {why}; correct `symbols` in k2.toml")
        self._told = now
