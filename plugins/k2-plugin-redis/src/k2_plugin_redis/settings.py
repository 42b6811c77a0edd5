"""Settings of the dedup store `redis`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from k2core.plugin import Settings

SCHEMES = ("redis://", "rediss://", "unix://")


class RedisSettings(Settings):
    """`[dedup] use = "redis"`. None of these decides what counts as a duplicate, only who is asked, and how soon."""

    url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Where Redis is: redis://[user:password@]host:port/db, rediss:// for TLS, or unix://path.",
    )
    sentinels: tuple[str, ...] = Field(
        (),
        description="Sentinels, as host:port; the host of url is then the name that they know the primary by, as in "
        "redis://mymaster/0.",
    )
    sentinel_password: SecretStr = Field(SecretStr(""), description="Of the Sentinels, where they want one.")
    tls_ca: Path | None = Field(
        None, description="Certificates (PEM) that servers' are checked with; without it the system's.",
        json_schema_extra={"path": True},
    )  # fmt: skip
    tls_certificate: Path | None = Field(
        None, description="Own certificate (PEM), where Redis wants one.", json_schema_extra={"path": True}
    )
    tls_key: Path | None = Field(None, description="Its key (PEM).", json_schema_extra={"path": True})
    prefix: str = Field(
        "k2", min_length=1, description="Begins every key; installations that share one Redis need different ones."
    )
    window_hours: float = Field(
        24, gt=0, description="Identities appended longer ago may be forgotten; the table is asked for those."
    )
    timeout_ms: float = Field(
        200, gt=0, description="Longest wait for one answer; a Redis that is slower counts as away."
    )
    connect_timeout_ms: float = Field(200, gt=0, description="Longest wait for a connection.")
    on_failure: Literal["memory", "stop"] = Field(
        "memory", description="While Redis is away: go on in memory with the table's help, or claim nothing."
    )
    retry_s: float = Field(1, gt=0, description="Seconds until Redis is tried again; doubles with every failure.")
    retry_longest_s: float = Field(30, gt=0, description="Seconds between two tries, at most.")
    rebuild_minutes: float = Field(
        60, gt=0, description="What is loaded from the table where Redis knows nothing that can be used."
    )
    max_ids: int = Field(
        20_000_000,
        ge=1,
        description="Entries held in memory at once, at most (8 to 16 bytes each); the oldest go first.",
    )
    chunk_ids: int = Field(
        8192, ge=1, le=65_536, description="Ids of one round trip, at most; Redis serves nobody else meanwhile."
    )

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(SCHEMES):
            raise ValueError(f"must begin with one of {', '.join(SCHEMES)}")
        return url

    @field_validator("sentinels")
    @classmethod
    def _places(cls, sentinels: tuple[str, ...]) -> tuple[str, ...]:
        for place in sentinels:
            host, _, port = place.rpartition(":")
            if not host or not port.isdigit():
                raise ValueError(f"{place!r} must be host:port, as in 10.0.0.1:26379")
        return sentinels

    @model_validator(mode="after")
    def _fit(self) -> Self:
        url = urlsplit(self.url.get_secret_value())
        if url.scheme != "rediss" and (self.tls_ca or self.tls_certificate or self.tls_key):
            raise ValueError("tls_ca, tls_certificate and tls_key need a url that begins with rediss://")
        if self.sentinels and (url.scheme == "unix" or not self.primary or url.port):
            raise ValueError("with sentinels, url must name the primary as they know it, as in redis://mymaster/0")
        return self

    @property
    def primary(self) -> str:
        """The host that `url` names, spelled as there: with `sentinels`, the name of the primary."""
        return urlsplit(self.url.get_secret_value()).netloc.rpartition("@")[2]
