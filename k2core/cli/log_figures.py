"""`log_figures`: what the log holds, from when on, and for whom: asked for by the writer in a thread, every few seconds.

A log that cannot be asked is no reason to stop: its figures stay as they were, and whoever writes says what is wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from k2core.broker.spans import lag_of
from k2core.cli.lag import ages_of
from k2core.cli.processes import Process
from k2core.errors import K2Error
from k2core.records.topics import Topic

if TYPE_CHECKING:
    from k2core.interfaces.broker import Broker

EVERY_S, JOIN_S = 10.0, 5.0


@contextmanager
def log_figures(process: Process, log: Broker) -> Iterator[None]:
    """Tell them while the block runs.

    Args:
        process: Whose metrics.
        log: The log, open.
    """
    stop = threading.Event()
    thread = threading.Thread(target=_loop, args=(process, log, stop), name="log-figures", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(JOIN_S)


def _loop(process: Process, log: Broker, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            measure(process, log)
        except K2Error as error:
            process.logger.debug("no figures of the log error=%s", error)
        stop.wait(EVERY_S)


def measure(process: Process, log: Broker) -> None:
    """Set the gauges once.

    Raises:
        K2Error: The log cannot be asked.
    """
    metrics, clock = process.assembly.metrics, process.assembly.clock
    topics = sorted(log.topics())
    starts, ends = log.starts(topics), log.ends(topics)
    for name, consumer in log.consumers().items():
        read = {place: max(offset, starts.get(place, 0)) for place, offset in consumer.released.items()}
        known = {place: ends[place] for place in read if place in ends}
        metrics.set("k2_log_consumer_lag_records", sum(lag_of(known, read).values()), consumer=name)
    by_type: dict[str, list[str]] = {}
    for topic in topics:
        by_type.setdefault(Topic.parse(topic).data_type, []).append(topic)
    for name, named in by_type.items():
        held = lag_of({p: n for p, n in ends.items() if p[0] in named}, starts)
        metrics.set("k2_log_held_records", sum(held.values()), data_type=name)
        ages = ages_of(log, {place: starts.get(place, 0) for place in held}, ends, clock)
        if ages:
            oldest_s = clock.now_us() / 1e6 - max(ages.values())
            metrics.set("k2_log_oldest_timestamp_seconds", oldest_s, data_type=name)
