"""Capture in a world: the real feed driver, normalizer and pipeline, on a loop that only the scheduler turns."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from k2_plugin_binance import FACTS
from k2_plugin_binance.feed import BinanceFeed
from k2_plugin_binance.normalizer import BinanceNormalizer
from k2_plugin_binance.settings import BinanceSettings

from k2core.config.settings import IngestSettings
from k2core.errors import LogFullError
from k2core.feed.driver import FeedConnector
from k2core.feed.settings import FeedSettings
from k2core.ingest.pipeline import IngestPipeline
from k2core.telemetry.metrics import Metrics
from k2core.testing import context
from tests.simulation.exchange import SYMBOLS
from tests.simulation.oracle import WrongError
from tests.simulation.virtual import Inline, Killed, SkewedClock, VirtualLoop

if TYPE_CHECKING:
    from tests.simulation.world import World

LOGGER = logging.getLogger("k2.simulation")


class Capture:
    """One `k2 ingest` process."""

    def __init__(self, world: World) -> None:
        self.world, self.clock, self.busy = world, SkewedClock(world.clock), False
        self.loop = VirtualLoop(world.clock)
        data_type = world.data_type
        settings = BinanceSettings(symbols=list(SYMBOLS), data_types=[data_type.name], check_symbols=False)  # type: ignore[list-item]
        self.connector = FeedConnector(
            BinanceFeed(settings, context(self.clock, name="simulation")), self.clock, LOGGER, Metrics(), "binance",
            FeedSettings(queue_frames=world.dice.choice((4, 1000)), batch_frames=world.dice.choice((3, 2000))),
            dialer=world.exchange, rng=random.Random(world.dice.random()),
        )  # fmt: skip
        self.pipeline = IngestPipeline(
            self.connector, BinanceNormalizer(), FACTS, {data_type.name: data_type},
            world.log.faulty(self.fault), world.codecs, self.clock, Metrics(),
            LOGGER, IngestSettings(linger_ms=world.dice.choice((0, 10))), thread=Inline(),
        )  # fmt: skip
        self.killed = False
        self.before = world.oracle.refused_frames
        self.records = world.oracle.captured
        self.stop = asyncio.Event()
        self.task = self.loop.create_task(self.pipeline.run(self.stop))

    def turn(self) -> None:
        """Bytes arrive, and some of what is ready runs. A kill leaves everything as it is at that await."""
        self.busy = True
        try:
            self.world.exchange.deliver()
            self.loop.turn(self.world.dice.choice((1, 5, 20)))
        finally:
            self.busy = False
        if self.killed:
            self.drop()
        elif self.task.done():
            raise WrongError(f"capture ended by itself: {self.task.exception()!r}")

    def fault(self, name: str) -> None:
        """Asked before and after each append."""
        if self.killed or self.world.dice.random() < self.world.odds["kill capture"]:
            self.killed = True
            self.world.told[f"killed at {name}"] += 1
            raise Killed
        if name == "produce" and self.world.dice.random() < self.world.odds["fail"]:
            self.world.told["log full for capture"] += 1
            raise LogFullError("full, says the simulation")

    def drop(self) -> None:
        """The process is no more."""
        self.world.captures.remove(self)
        for link in self.world.exchange.links:
            link.gone = True
        self.killed = True  # nothing that is cleaned up may reach the log
        self.loop.end()
        if self.task.done() and not self.task.cancelled():
            self.task.exception()

    def finish(self) -> None:
        """Stop in order; the accounts must close, and all that was read must be in the log."""
        self.stop.set()
        for _ in range(400):
            if self.task.done():
                break
            self.world.exchange.deliver()
            self.loop.turn(3)
            self.world.clock.advance(0.01)
        if not self.task.done():
            raise WrongError("capture does not stop")
        self._check(vars(self.task.result()), dict(self.connector.facts()))
        self.drop()

    def _check(self, result: dict[str, object], facts: dict[str, object]) -> None:
        oracle = self.world.oracle
        records = oracle.captured - self.records
        told = {name: result[name] for name in ("frames", "yielding", "control", "rejected", "unaccounted", "unsaved")}
        frames = int(str(facts["frames_received"])) - int(str(facts["frames_control"]))
        wanted = {
            "frames": frames, "yielding": records, "control": told["control"],
            "rejected": oracle.refused_frames - self.before, "unaccounted": 0, "unsaved": 0,
        }  # fmt: skip
        if told != wanted or frames != records + int(str(told["control"])) + int(str(told["rejected"])):
            raise WrongError(f"accounts do not close: {told}, wanted {wanted}")
