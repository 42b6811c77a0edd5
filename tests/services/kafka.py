"""A real Kafka: one broker or several (KRaft), each a process of its own on loopback."""

from __future__ import annotations

import base64
import contextlib
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.services.install import kafka_jars, program
from tests.services.process import Service, UnavailableError, free_port, listens

_LOG4J = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN"><Appenders><Console name="out" target="SYSTEM_OUT">
<PatternLayout pattern="[%d] %p %m (%c)%n"/></Console></Appenders>
<Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers></Configuration>
"""
_SETTINGS = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "1",
    "controlled.shutdown.enable": "true",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.session.timeout.ms": "3000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.min.session.timeout.ms": "1000",
}
_REPLICATED = (
    "offsets.topic.replication.factor", "transaction.state.log.replication.factor", "transaction.state.log.min.isr",
    "share.coordinator.state.topic.replication.factor", "share.coordinator.state.topic.min.isr",
)  # fmt: skip


def cluster_id() -> str:
    """A new one; Kafka takes none that begins with a dash."""
    while (found := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return found


class Kafka(Service):
    """One broker, which is a controller too.

    Args:
        folder: Data, settings, output.
        node: Its number, from 1.
        cluster: The cluster's id.
        voters: `node@host:port` of every controller; its own alone where empty.
        controller_port: Its own controller's.
        settings: Further properties, as `log.retention.ms`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        node: int = 1,
        cluster: str = "",
        voters: Sequence[str] = (),
        controller_port: int = 0,
        settings: dict[str, str] | None = None,
    ) -> None:
        super().__init__(folder)
        self.node, self.cluster = node, cluster or cluster_id()
        self._controller_port = controller_port or free_port()
        self._voters = voters or [f"{node}@127.0.0.1:{self._controller_port}"]
        self._settings = settings or {}
        self._formatted = False

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        """The broker."""
        return [*self._java("-Xmx256m", "-Xms64m"), "kafka.Kafka", str(self.folder / "server.properties")]

    def answers(self) -> bool:
        """Whether the cluster tells its brokers."""
        if not listens(self.port):
            return False
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        with contextlib.suppress(KafkaException):
            found = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0}).list_topics(timeout=2)
            return len(found.brokers) >= len(self._voters)
        return False

    def launch(self) -> None:
        """Format where it is new, then start."""
        if not self._formatted:
            self._format()
        super().launch()

    def _java(self, *options: str) -> list[str]:
        quick = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
        log4j = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.xml'}"
        own = f"-Djava.io.tmpdir={self.folder}"  # libraries that it unpacks would stay in the system's
        return [program("java", "default-jre-headless"), *options, *quick, own, log4j, "-cp", f"{kafka_jars()}/*"]

    def _format(self) -> None:
        (self.folder / "log4j2.xml").write_text(_LOG4J)
        lines = (f"{key}={value}" for key, value in self._properties().items())
        (self.folder / "server.properties").write_text("\n".join(lines) + "\n")
        asked = ["kafka.tools.StorageTool", "format", "-t", self.cluster, "-c", str(self.folder / "server.properties")]
        done = subprocess.run([*self._java("-Xmx128m"), *asked], capture_output=True, text=True, check=False)
        if done.returncode:
            raise UnavailableError(f"Kafka's folder could not be formatted: {done.stdout}{done.stderr}")
        self._formatted = True

    def _properties(self) -> dict[str, str]:
        alone = len(self._voters) == 1
        own = {
            "node.id": str(self.node),
            "controller.quorum.voters": ",".join(self._voters),
            "log.dirs": str(self.folder / "data"),
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "broker.session.timeout.ms": "1000" if alone else "3000",
            "broker.heartbeat.interval.ms": "200" if alone else "500",
            **dict.fromkeys(_REPLICATED, "1" if alone else "2"),
        }
        return {**_SETTINGS, **own, **self._settings}


@contextlib.contextmanager
def three_brokers(folder: Path) -> Iterator[list[Kafka]]:
    """A cluster of three, all serving."""
    cluster, ports = cluster_id(), [free_port() for _ in range(3)]
    voters = [f"{n}@127.0.0.1:{port}" for n, port in enumerate(ports, 1)]
    made = [
        Kafka(folder / str(n), node=n, cluster=cluster, voters=voters, controller_port=port)
        for n, port in enumerate(ports, 1)
    ]
    with contextlib.ExitStack() as stack:
        for one in made:
            stack.callback(one.kill)  # in order each would wait for the others
            one.launch()
        for one in made:
            one.wait()
        yield made
