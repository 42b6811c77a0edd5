"""What the client (librdkafka) is told, and what its errors mean. No password leaves through here but to the client.

Everything that Kafka or the network says ends as a `BrokerError`: `BrokerAwayError` where trying again may help.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from pydantic import SecretStr

from k2_plugin_kafka.settings import KafkaSettings
from k2core.plugin import BrokerAwayError, BrokerError, ConfigError, LogCorruptError

BACKOFF_MS, LONGEST_BACKOFF_MS = 50, 1000
"""Between two connections; librdkafka's own 10 s would make every outage that much longer."""
REBOOTSTRAP_MS = 2000
"""A broker that starts tells for a moment of no brokers at all; the client would believe that for 5 minutes."""
LOG_LEVEL = 4
SLICE_S, CLOSING_S = 0.5, 10.0
"""Longest wait in one call of a client, so that closing is noticed; longest wait for a thread that is in one."""
AWAY = {
    KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._MSG_TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE, KafkaError._RESOLVE, KafkaError._WAIT_COORD, KafkaError._AUTHENTICATION,
    KafkaError._SSL, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT,
    KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.REQUEST_TIMED_OUT, KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND, KafkaError.BROKER_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NETWORK_EXCEPTION,
    KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.NOT_CONTROLLER, KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.THROTTLING_QUOTA_EXCEEDED, KafkaError.KAFKA_STORAGE_ERROR, KafkaError._IN_PROGRESS, KafkaError._STATE,
    KafkaError._NOENT, KafkaError._PARTIAL,
}  # fmt: skip
MISSING = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, 100}
"""The last is UNKNOWN_TOPIC_ID, for which the client has no name."""

SOON = {
    KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH, *MISSING,
}  # fmt: skip
"""What a topic answers for a moment after it was made, or a leader was moved."""


class Told:
    """The newest thing that a client said about its connections, for error messages.

    Args:
        settings: Whose secrets are masked.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings, self.down, self._text = settings, False, ""

    def __call__(self, error: KafkaError) -> None:
        """The client's `error_cb`."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.down = True
        else:
            self._text = masked(error.str(), self._settings)

    def heard(self) -> None:
        """Brokers answered."""
        self.down, self._text = False, ""

    def __str__(self) -> str:
        return f" ({self._text})" if self._text else ""


def secrets_of(settings: KafkaSettings) -> list[str]:
    """Every secret in the settings."""
    fields = (getattr(settings, name) for name in type(settings).model_fields)
    held = [*(f for f in fields if isinstance(f, SecretStr)), *settings.client.values()]
    return [text for one in held if isinstance(one, SecretStr) and (text := one.get_secret_value())]


def masked(text: str, settings: KafkaSettings) -> str:
    """A text without the settings' secrets."""
    for secret in sorted(secrets_of(settings), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def common(settings: KafkaSettings, role: str, told: Told) -> dict[str, Any]:
    """Properties of every client.

    Args:
        settings: Of `[broker]`.
        role: Ends the client's id: `producer`, `reader`, `member`, `admin`.
        told: Hears what it says.
    """
    given = {
        "security.protocol": settings.security_protocol,
        "sasl.mechanism": settings.sasl_mechanism,
        "sasl.username": settings.sasl_username,
        "sasl.password": settings.sasl_password,
        "ssl.ca.location": settings.ssl_ca_location,
        "ssl.certificate.location": settings.ssl_certificate_location,
        "ssl.key.location": settings.ssl_key_location,
        "ssl.key.password": settings.ssl_key_password,
    }
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": f"k2-{role}",
        "error_cb": told,
        "log_level": LOG_LEVEL,
        "allow.auto.create.topics": False,
        "reconnect.backoff.ms": BACKOFF_MS,
        "reconnect.backoff.max.ms": LONGEST_BACKOFF_MS,
        "metadata.recovery.rebootstrap.trigger.ms": REBOOTSTRAP_MS,
        "socket.keepalive.enable": True,
        "socket.connection.setup.timeout.ms": int(settings.connect_timeout_s * 1000),
        **{key: plain(value) for key, value in given.items() if plain(value)},
        **{key: plain(value) for key, value in settings.client.items()},
    }


def plain(value: object) -> Any:
    """A setting's value as the client takes it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value) if isinstance(value, Path) else value


@contextmanager
def translated(settings: KafkaSettings, doing: str, told: Told | None = None) -> Iterator[None]:
    """Errors of the client as ours.

    Raises:
        BrokerError: What `error_of` makes of it.
        ConfigError: The client refuses its settings.
    """
    try:
        yield
    except KafkaException as error:
        said = error.args[0] if error.args else error
        if isinstance(said, KafkaError):
            raise error_of(settings, doing, said, told) from None
        raise BrokerError(f"{_where(settings)}: {doing}: {masked(str(error), settings)}") from None
    except (TypeError, ValueError) as error:
        raise ConfigError(f"[broker]: the Kafka client: {masked(str(error), settings)}") from None
    except TimeoutError:
        raise away(settings, f"{doing}: no answer", told) from None
    except RuntimeError as error:
        raise BrokerError(f"{_where(settings)}: {doing}: {masked(str(error), settings)}") from None


def error_of(settings: KafkaSettings, doing: str, error: KafkaError, told: Told | None = None) -> Exception:
    """What an error of the client is for us."""
    code, text = error.code(), f"{_where(settings)}: {doing}: {masked(error.str(), settings)}"
    if code in (KafkaError._INVALID_ARG, KafkaError._CONFLICT):
        return ConfigError(f"[broker]: the Kafka client: {masked(error.str(), settings)}")
    if code in AWAY or error.retriable():
        return BrokerAwayError(f"{text}{told or ''}; k2 doctor tells more")
    if code in (KafkaError._BAD_MSG, KafkaError.INVALID_MSG, KafkaError._BAD_COMPRESSION):
        return LogCorruptError(text)
    return BrokerError(text)


def away(settings: KafkaSettings, doing: str, told: Told | None = None) -> BrokerAwayError:
    """Kafka does not answer."""
    return BrokerAwayError(f"{_where(settings)}: {doing}{told or ''}; k2 doctor tells more")


def _where(settings: KafkaSettings) -> str:
    return f"Kafka at {settings.bootstrap_servers}"


def logger_of(logger: logging.Logger) -> logging.Logger:
    """Where a client logs: connections that come and go are no warnings of ours."""
    found = logger.getChild("client")
    if not any(isinstance(one, _Quiet) for one in found.filters):
        found.addFilter(_Quiet())
    return found


class _Quiet(logging.Filter):
    """The client repeats what `Told` knows and errors say; its lines are for `log_level = "debug"`."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return logging.getLogger().isEnabledFor(logging.DEBUG)
