"""`run_serve`: everything of `k2 serve` in one process: tails and their threads, the status file, the HTTP server.

Stops cleanly when its event is set. A tail that fails for good ends the process with that error: whoever minds it
starts it again. A tail that is merely away is tried again, and `/readyz` says so meanwhile.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial

from k2core.admission import Admission
from k2core.api.keys import Auth, KeysFile
from k2core.api.loop import TailLoop
from k2core.api.readiness import Readiness
from k2core.api.server import Ready, bind, port_of, serve
from k2core.clock import Clock
from k2core.config.settings import ApiSettings, QuerySettings, RunSettings
from k2core.degradation.board import LevelBoard
from k2core.errors import QueryError
from k2core.interfaces.broker import Broker
from k2core.interfaces.query import QuerySource
from k2core.query.cursor import Cursors, installation_key
from k2core.query.service import QueryService
from k2core.query.tail import Tail
from k2core.records.data_type import DataType
from k2core.telemetry.metrics import Metrics
from k2core.telemetry.status import StatusFile

log = logging.getLogger("k2.serve")

STATUS_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeParts:
    """What `k2 serve` is made of.

    Args:
        data_types: Those with a table.
        source: Reads the tables.
        broker: The log, open.
        admissions: By data type name.
        topics: By data type name, every topic that feeds its table; they exist.
        find_topics: The same of one data type, as of each call; None where no others will come.
        query: Settings of queries.
        api: Settings of the HTTP service.
        run: Where status files lie.
        clock: The time.
        metrics: Of this process.
        announce_s: How often writers tell a level that lasts.
    """

    data_types: Sequence[DataType]
    source: QuerySource
    broker: Broker
    admissions: Mapping[str, Admission]
    topics: Mapping[str, Sequence[str]]
    query: QuerySettings
    api: ApiSettings
    run: RunSettings
    clock: Clock
    metrics: Metrics
    find_topics: Callable[[str], Sequence[str]] | None = None
    announce_s: float = 30.0


def build_service(parts: ServeParts) -> QueryService:
    """The query service with its tails, which nobody advances yet."""
    sources = {d.name: parts.source.table(d) for d in parts.data_types}
    tails = {
        d.name: Tail(
            d, parts.admissions[d.name], parts.broker, sources[d.name], parts.topics[d.name], parts.query,
            parts.clock, parts.metrics, partial(parts.find_topics, d.name) if parts.find_topics else None,
        )
        for d in parts.data_types
    }  # fmt: skip
    cursors = Cursors(installation_key(parts.run.path))
    return QueryService(parts.data_types, sources, tails, parts.broker, parts.query, parts.clock, cursors)


def auth_of(settings: ApiSettings) -> Auth:
    """Keys from the settings (`K2_API_KEY` among them) and from the keys file."""
    given = [settings.key.get_secret_value()] if settings.key else []
    return Auth(given, KeysFile(settings.keys_file), required=settings.auth)


def run_serve(
    parts: ServeParts, stop: threading.Event, ready: Ready | None = None, status: StatusFile | None = None
) -> None:
    """Serve until `stop` is set.

    Args:
        parts: What to serve with.
        stop: Set it to end.
        ready: Called once with the port, as soon as it is listened on.
        status: Where it is told how it goes; else a file of its own.

    Raises:
        ConfigError: The port is taken, or open to others without keys.
        K2Error: What ended a tail for good.
    """
    from k2core.api.app import create_app

    with ExitStack() as open_parts:
        listener = bind(parts.api.host, parts.api.port, auth=parts.api.auth)
        open_parts.callback(listener.close)
        service, failed = build_service(parts), threading.Event()
        loops = {name: TailLoop(tail, parts.clock, stop) for name, tail in service.tails.items()}
        readiness = Readiness(loops, parts.run.path, parts.run.wedged_s, parts.clock)
        board = LevelBoard(parts.broker, parts.clock, parts.announce_s)
        open_parts.callback(board.close)
        app = create_app(service, auth_of(parts.api), parts.api, readiness, parts.metrics, board)
        for name, loop in loops.items():
            loop.start()
            open_parts.callback(_end, loop, service.tails[name])
        status = status or StatusFile(parts.run.path, "serve", parts.clock, parts.metrics)
        told = (parts, service, readiness, port_of(listener), failed, status, board)
        _start(threading.Thread(target=_tell, args=told, name="status", daemon=True), failed, open_parts)
        log.info("serving host=%s port=%d", parts.api.host, port_of(listener))
        if ready is not None:
            ready(port_of(listener))
        serve(app, listener, stop, parts.metrics)
        for loop in loops.values():
            if loop.fatal is not None:
                raise loop.fatal


def _start(teller: threading.Thread, ended: threading.Event, open_parts: ExitStack) -> None:
    teller.start()
    open_parts.callback(teller.join, 2 * STATUS_S)
    open_parts.callback(ended.set)


def _end(loop: TailLoop, tail: Tail) -> None:
    if loop.stop(5):
        tail.close()


def _tell(
    parts: ServeParts,
    service: QueryService,
    readiness: Readiness,
    port: int,
    ended: threading.Event,
    file: StatusFile,
    board: LevelBoard,
) -> None:
    """Publish the status each second, until told to end."""
    while not ended.is_set():
        reasons = [r for r in readiness.reasons() if r.startswith("tail ")]
        facts = {"port": port, "freshness": {n: dict(t.freshness.percentiles()) for n, t in service.tails.items()}}
        with suppress(QueryError):  # a tail that starts has no view yet
            facts["snapshots"] = {n: t.view.seen.id for n, t in service.tails.items()}
        board.look()
        parts.metrics.set("k2_degradation_level", board.level)
        file.publish("starting" if reasons else "running", "; ".join(reasons), facts)
        ended.wait(STATUS_S)
    file.publish("stopped")
