"""Settings of the log `kafka`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from k2core.plugin import Settings

OWNED = {
    "bootstrap.servers": "bootstrap_servers", "metadata.broker.list": "bootstrap_servers", "acks": "acks",
    "request.required.acks": "acks", "security.protocol": "security_protocol", "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism", "sasl.username": "sasl_username", "sasl.password": "sasl_password",
    "ssl.ca.location": "ssl_ca_location", "ssl.certificate.location": "ssl_certificate_location",
    "ssl.key.location": "ssl_key_location", "ssl.key.password": "ssl_key_password", "linger.ms": "linger_ms",
    "queue.buffering.max.ms": "linger_ms", "batch.size": "batch_bytes", "compression.type": "compression",
    "compression.codec": "compression", "message.max.bytes": "message_bytes",
    "queue.buffering.max.messages": "buffer_records", "queue.buffering.max.kbytes": "buffer_bytes",
    "queued.max.messages.kbytes": "fetch_buffer_bytes", "delivery.timeout.ms": "delivery_timeout_s",
    "message.timeout.ms": "delivery_timeout_s", "session.timeout.ms": "session_timeout_s",
    "heartbeat.interval.ms": "heartbeat_s", "max.poll.interval.ms": "poll_interval_s", "group.id": "group_prefix",
    "socket.connection.setup.timeout.ms": "connect_timeout_s", "fetch.wait.max.ms": "fetch_wait_ms",
}  # fmt: skip
"""Properties of the client that a setting of ours speaks for."""
FIXED = {
    "enable.idempotence", "enable.auto.commit", "enable.auto.offset.store", "auto.offset.reset", "enable.partition.eof",
    "isolation.level", "partition.assignment.strategy", "group.protocol", "allow.auto.create.topics", "transactional.id",
    "delivery.report.only.error", "partitioner", "group.instance.id", "check.crcs", "auto.commit.enable",
    "default.topic.config", "on_delivery", "dr_cb", "error_cb", "on_commit", "logger", "group.protocol.type",
    "group.remote.assignor", "produce.offset.report",
}  # fmt: skip
"""Properties on whose value it rests that nothing is lost."""
SECRET = re.compile(r"password|passphrase|secret|token|jaas|credential|oauthbearer\.config|\.pem$")
"""Properties of the client whose values are shown nowhere."""


class KafkaSettings(Settings):
    """`[broker] use = "kafka"`."""

    bootstrap_servers: str = Field(
        "127.0.0.1:9092", min_length=1, description="Brokers, host:port, comma between them."
    )
    schema_registry_url: str = Field(
        "http://127.0.0.1:8081", description="The schema registry; several with a comma between them are tried in turn."
    )
    schema_registry_user: str = Field("", description="User (or API key) at the registry; empty for none.")
    schema_registry_password: SecretStr = Field(SecretStr(""), description="Its password (or API secret).")
    schema_registry_ca_location: Path | None = Field(
        None, description="Certificates (PEM) that the registry's is checked with; the system's where it is not given."
    )
    schema_registry_timeout_s: float = Field(3, gt=0, le=60, description="Longest wait for one answer of the registry.")
    schema_cache: Path = Field(
        Path("data/schemas"), description="Folder that keeps schema ids, for when the registry is away.",
        json_schema_extra={"path": True},
    )  # fmt: skip
    replication_factor: int = Field(
        3, ge=1, le=32767, description="Replicas of each partition of topics that are made."
    )
    min_insync_replicas: int | None = Field(
        None,
        ge=1,
        description="Replicas that must have a record before it counts; min(2, replication_factor) if unset.",
    )
    retention_hours: float = Field(90 * 24, gt=0, description="Kafka removes records older than this.")
    acks: Literal["all", "1"] = Field(
        "all", description="all: a record counts once every replica in sync has it. 1: once the leader has it, and a "
        "leader that dies may take it along.",
    )  # fmt: skip
    security_protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        "plaintext", description="How brokers are spoken to."
    )
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER"] = Field(
        "", description="With a sasl_… protocol."
    )
    sasl_username: str = Field("", description="User at the brokers.")
    sasl_password: SecretStr = Field(
        SecretStr(""), description="Its password; better given as K2_BROKER__SASL_PASSWORD."
    )
    ssl_ca_location: Path | None = Field(None, description="Certificates (PEM) that brokers' are checked with.")
    ssl_certificate_location: Path | None = Field(None, description="Own certificate (PEM), where brokers want one.")
    ssl_key_location: Path | None = Field(None, description="Its key (PEM).")
    ssl_key_password: SecretStr = Field(SecretStr(""), description="The key's password.")
    linger_ms: float = Field(5, ge=0, le=1000, description="How long a batch that is not full waits for more records.")
    batch_bytes: int = Field(
        524_288, ge=1024, description="Bytes of one batch to one partition, at most (one record more)."
    )
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field("lz4", description="Of batches.")
    message_bytes: int = Field(524_288, ge=16_384, description="Bytes of one record, at most.")
    buffer_records: int = Field(100_000, ge=100, description="Records on their way to brokers, at most.")
    buffer_bytes: int = Field(64 << 20, ge=1 << 20, description="Their bytes, at most (one record more).")
    fetch_buffer_bytes: int = Field(
        8 << 20,
        ge=1 << 20,
        description="Bytes that one reader fetches ahead, at most; more does not fit into processor caches.",
    )
    fetch_wait_ms: int = Field(50, ge=1, le=5000, description="How long a broker may hold a request for new records.")
    connect_timeout_s: float = Field(3, ge=1, le=300, description="Longest wait for a connection.")
    answer_timeout_s: float = Field(
        5, gt=0, le=300, description="Longest wait for an answer; then Kafka counts as away."
    )
    delivery_timeout_s: float = Field(
        60, ge=1, description="How long records are sent again by the client itself, in order and each once; then "
        "capture sends them again, and the table leaves out the doubles.",
    )  # fmt: skip
    ready_timeout_s: float = Field(30, gt=0, description="Longest wait until a new topic's partitions have leaders.")
    session_timeout_s: float = Field(
        3, gt=0, description="A writer that is silent for so long loses its partitions; brokers must allow it "
        "(group.min.session.timeout.ms), else 6 s is taken.",
    )  # fmt: skip
    heartbeat_s: float = Field(0.3, gt=0, description="Pause between two signs of life.")
    poll_interval_s: float = Field(60, gt=0, description="A writer that lives but is stuck for so long loses them too.")
    clock_skew_s: float = Field(
        10, ge=0, description="How far the brokers' clocks and this machine's may lie apart, at most."
    )
    group_prefix: str = Field("k2", min_length=1, description="Begins the names of consumer groups.")
    client: dict[str, str | int | float | bool | SecretStr] = Field(
        default_factory=dict, description="Anything else, for the client (librdkafka) as it is."
    )

    @property
    def in_sync(self) -> int:
        """`min.insync.replicas` of topics that are made."""
        return self.min_insync_replicas or min(2, self.replication_factor)

    @property
    def topic_bytes(self) -> int:
        """Bytes of a batch that a topic must take: a batch may be over its size by one record."""
        return self.batch_bytes + self.message_bytes

    @field_validator("acks", mode="before")
    @classmethod
    def _acks(cls, acks: Any) -> Any:
        return {-1: "all", 1: "1"}.get(acks, acks) if isinstance(acks, int) else acks

    @field_validator("security_protocol", mode="before")
    @classmethod
    def _lower(cls, protocol: Any) -> Any:
        return protocol.lower() if isinstance(protocol, str) else protocol

    @field_validator("schema_registry_url")
    @classmethod
    def _http(cls, urls: str) -> str:
        for url in urls.split(","):
            if not url.strip().startswith(("http://", "https://")):
                raise ValueError("must begin with http:// or https://")
            if "@" in url.split("//", 1)[1].split("/", 1)[0]:
                raise ValueError("takes no user and password: set schema_registry_user and schema_registry_password")
        return urls

    @field_validator("client")
    @classmethod
    def _free(cls, client: dict[str, Any]) -> dict[str, Any]:
        for key in client:
            if key in OWNED:
                raise ValueError(f"{key} is set by broker.{OWNED[key]}")
            if key in FIXED:
                raise ValueError(f"{key} cannot be set: no record may be lost or stored twice whatever else is set")
        return {key: SecretStr(str(value)) if SECRET.search(key) else value for key, value in client.items()}

    @model_validator(mode="after")
    def _fits(self) -> KafkaSettings:
        if self.in_sync > self.replication_factor:
            raise ValueError(
                f"min_insync_replicas ({self.in_sync}) is more than replication_factor ({self.replication_factor}): "
                "nothing could ever be written"
            )
        if self.heartbeat_s * 3 > self.session_timeout_s:
            raise ValueError("heartbeat_s must be at most a third of session_timeout_s")
        if self.session_timeout_s > self.poll_interval_s:
            raise ValueError("poll_interval_s must be at least session_timeout_s")
        if self.security_protocol.startswith("sasl") and not self.sasl_mechanism:
            raise ValueError(f"security_protocol = {self.security_protocol!r} needs sasl_mechanism")
        return self
