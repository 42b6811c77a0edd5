"""`telling`: what a process tells while it runs: its metrics and health on a small port, and where that port is.

Nothing of it may stop what the process is for: a port or a file that cannot be had is a warning.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from k2core import __version__
from k2core.cli.preflight import data_paths
from k2core.errors import K2Error
from k2core.telemetry.endpoint import Endpoint
from k2core.telemetry.health import Health, Said
from k2core.telemetry.logs import count_lines
from k2core.telemetry.own import Own
from k2core.telemetry.targets import TargetFile

if TYPE_CHECKING:
    from pathlib import Path

    from k2core.cli.session import Session
    from k2core.telemetry.metrics import Metrics

log = logging.getLogger("k2.metrics")

NAMED = ("ingest", "write", "serve", "up")
"""Processes with metrics of their own; all others, as `k2 record` and `k2 replay`, capture."""


@contextlib.contextmanager
def telling(name: str, session: Session, said: Said) -> Iterator[None]:
    """Have the port while the block runs.

    Args:
        name: `ingest`, `write`, `serve`, `up`.
        session: Settings, clock, metrics.
        said: The process's last status.
    """
    config, metrics, clock = session.config, session.assembly.metrics, session.assembly.clock
    metrics.begin(name if name in NAMED else "ingest", known_values(session))
    count_lines(metrics)
    own = Own(metrics, name, __version__, clock.now_ns() / 1e9, places(session))
    health = Health(said, clock, config.run.wedged_s)
    metrics.collect(own.refresh)
    metrics.collect(lambda: health.refresh(metrics))
    with contextlib.ExitStack() as stack:
        if config.metrics.enabled:
            _open(name, session, health, metrics, stack)
        yield


def _open(name: str, session: Session, health: Health, metrics: Metrics, stack: contextlib.ExitStack) -> None:
    settings = session.config.metrics
    target = TargetFile(session.config.run.path, name)
    try:
        endpoint = Endpoint(settings.host, getattr(settings, f"{name}_port", 0), health.pages(metrics))
        stack.callback(endpoint.close)
        stack.callback(target.remove)
        target.write(endpoint.address)
    except OSError as error:
        log.warning("metrics are not served host=%s error=%s", settings.host, error)
        return
    endpoint.start()
    log.info("metrics process=%s address=%s", name, endpoint.address)


def known_values(session: Session) -> dict[str, Sequence[str]]:
    """Label values that are known before anything happened; fewer where settings are wrong, which others tell."""
    assembly = session.assembly
    try:
        exchanges = [facts.exchange for facts, _ in assembly.asked()]
        tables = [name for name, data_type in assembly.data_types().items() if data_type.table]
        enrichers = [one.instance for one in assembly.enriching()]
    except K2Error:
        return {}
    routes = [*tables, "ohlcv", "symbols"]
    return {
        "exchange": list(dict.fromkeys(exchanges)), "data_type": tables, "enricher": enrichers, "route": routes,
    }  # fmt: skip


def places(session: Session) -> dict[str, Path]:
    """By setting, the paths that are written to; those of one disk are told apart by whoever reads the figures."""
    try:
        found = list(data_paths(session.config, session.registry))
    except K2Error:
        return {}
    return {place.setting: place.path for place in found if place.setting != "api.keys_file"}
