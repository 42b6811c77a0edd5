"""What `k2 doctor` learns of Kafka: brokers, clock, registry; all at once, within `LIMIT_S` also where all are away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace

from confluent_kafka import Consumer as Client
from confluent_kafka import TopicPartition

from k2_plugin_kafka.client import Told, common, logger_of, masked, translated
from k2_plugin_kafka.cluster import NEWEST, Cluster
from k2_plugin_kafka.registry import SUITABLE, Registry
from k2_plugin_kafka.settings import KafkaSettings
from k2core.plugin import Clock, Finding, K2Error

LIMIT_S, ANSWER_S = 1.5, 1.2
OLDEST = (3, 7)
OFFSETS, CLOCK = "__consumer_offsets", "broker clock"
"""Where it is not told in time, that says nothing against it; brokers that do not answer are told by themselves."""
START = "start Kafka, or set broker.bootstrap_servers"


def look(settings: KafkaSettings, own: Callable[[str], bool], clock: Clock, logger: logging.Logger) -> list[Finding]:
    """Look at everything at once.

    Args:
        settings: Of `[broker]`.
        own: Whether a topic's name is one of ours.
        clock: This machine's.
        logger: For the client's own lines.
    """
    hurried = settings.model_copy(update={
        "answer_timeout_s": min(ANSWER_S, settings.answer_timeout_s),
        "schema_registry_timeout_s": min(ANSWER_S, settings.schema_registry_timeout_s),
    })  # fmt: skip
    cluster = Cluster(hurried, logger)
    jobs: dict[str, tuple[Callable[[], list[Finding]], str]] = {
        "broker": (lambda: _brokers(cluster), START),
        CLOCK: (lambda: [_clock(cluster, own, clock, logger)], START),
        "schema registry": (lambda: [_registry(Registry(hurried))], "start it, or set broker.schema_registry_url"),
    }
    pool = ThreadPoolExecutor(len(jobs), thread_name_prefix="doctor")
    asked = {name: pool.submit(job) for name, (job, _) in jobs.items()}
    wait(asked.values(), LIMIT_S)
    pool.shutdown(wait=False, cancel_futures=True)
    found = [one for name, future in asked.items() for one in _told(name, future, jobs[name][1], settings)]
    if not found[0].ok:  # what is wrong with brokers is told once
        found = [_not_compared("see broker") if one.name == CLOCK and not one.ok else one for one in found]
    return [replace(one, repair="") if one.ok else one for one in found]


def _not_compared(why: str) -> Finding:
    return Finding(CLOCK, True, f"not compared: {why}", checked=False)


def _told(name: str, future: Future[list[Finding]], repair: str, settings: KafkaSettings) -> list[Finding]:
    if not future.done() and name == CLOCK:
        return [_not_compared(f"no answer within {LIMIT_S:g} s")]
    if not future.done():
        return [Finding(name, False, f"no answer within {LIMIT_S:g} s", repair)]
    error = future.exception()
    if error is None:
        return future.result()
    if not isinstance(error, K2Error):
        raise error
    return [Finding(name, False, masked(str(error), settings).split("; ")[0], repair)]


def _brokers(cluster: Cluster) -> list[Finding]:
    settings = cluster.settings
    brokers = cluster.brokers()
    config = cluster.broker_config(brokers[0])
    version, known = _version(config)
    found = [Finding("broker", known, f"{len(brokers)} at {settings.bootstrap_servers}, {version}",
                     f"upgrade Kafka to {'.'.join(map(str, OLDEST))} or newer")]  # fmt: skip
    if len(brokers) < settings.replication_factor:
        found.append(Finding(
            "broker replication", False, f"{settings.replication_factor} replicas are wanted of {len(brokers)} brokers",
            f"add brokers, or set broker.replication_factor = {len(brokers)}",
        ))  # fmt: skip
    return [*found, _session(settings, config)]


def _version(config: Mapping[str, str]) -> tuple[str, bool]:
    """Kafka tells no version: it is read from what its settings are called."""
    told = config.get("inter.broker.protocol.version", "")
    if told:
        number = tuple(int(part) for part in told.partition("-")[0].split(".")[:2])
        return f"protocol {told}", number >= OLDEST
    if "group.consumer.session.timeout.ms" in config:
        return "version 4 or newer", True
    return "its version cannot be told", True


def _session(settings: KafkaSettings, config: Mapping[str, str]) -> Finding:
    least = int(config.get("group.min.session.timeout.ms", "0") or 0) / 1000
    text = f"a writer that dies is noticed after {max(settings.session_timeout_s, least):g} s"
    if least > settings.session_timeout_s:
        text += f", not {settings.session_timeout_s:g}: brokers have group.min.session.timeout.ms={least * 1000:g}"
    return Finding("broker group", True, text)


def _clock(cluster: Cluster, own: Callable[[str], bool], clock: Clock, logger: logging.Logger) -> Finding:
    """Kafka tells its time to nobody, but stamps the group offsets that it stores."""
    settings, names = cluster.settings, cluster.names()
    topic = next((name for name in names if own(name)), None)
    if topic is None:
        return _not_compared("there is no topic of k2 yet")
    with translated(settings, "compare clocks"):
        given = {**common(settings, "clock", Told(settings)), "group.id": f"{settings.group_prefix}.clock"}
        client = Client({**given, "enable.auto.commit": False}, logger=logger_of(logger))
        try:
            client.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
        finally:
            client.close()
    here_ms = clock.now_ms()
    newest = cluster.stamps({OFFSETS: cluster.names().get(OFFSETS, 0)}, NEWEST)
    if not newest:
        return _not_compared(f"{OFFSETS} may not be read")
    apart = (max(newest) - here_ms) / 1000
    text = f"{abs(apart):.2f} s {'ahead of' if apart > 0 else 'behind'} this machine's"
    repair = "set both clocks by NTP: timedatectl set-ntp true"
    return Finding(CLOCK, abs(apart) <= settings.clock_skew_s / 2, text, repair)


def _registry(registry: Registry) -> Finding:
    count, level, mode = registry.subjects(), registry.level(), registry.mode()
    text = f"{count} subjects, compatibility {level or 'not set'}"
    if level not in SUITABLE:
        text += " (k2's subjects have their own)"
    if mode and mode != "READWRITE":
        return Finding("schema registry", False, f"{text}, mode {mode}", "set its mode to READWRITE")
    return Finding("schema registry", True, text)
