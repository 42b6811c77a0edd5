"""Several pipelines in one process: one that fails is reported and stops none of the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from k2core.ingest.pipeline import IngestPipeline, IngestResult


@dataclass(frozen=True, slots=True)
class Ended:
    """How one pipeline ended: its accounts, and what stopped it before it was asked to."""

    exchange: str
    result: IngestResult
    error: Exception | None = None


async def run_all(
    pipelines: Sequence[IngestPipeline], stop: asyncio.Event, logger: logging.Logger | None = None
) -> list[Ended]:
    """Run pipelines until `stop`, or until each has failed; in their order, how each ended."""
    log = logger or logging.getLogger("k2.ingest")

    async def one(pipeline: IngestPipeline) -> Ended:
        try:
            return Ended(pipeline.exchange, await pipeline.run(stop))
        except Exception as error:
            log.exception("capture of %s has stopped; others go on", pipeline.exchange)
            return Ended(pipeline.exchange, pipeline.result, error)

    return list(await asyncio.gather(*map(one, pipelines)))
