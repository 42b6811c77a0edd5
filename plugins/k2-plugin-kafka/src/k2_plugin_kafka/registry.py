"""`Registry`: the few calls of a Confluent-compatible schema registry that k2 makes, each answered or refused in time.

Faults survived: a registry that is away, frozen or replaced by one that speaks nonsense ends as `BrokerAwayError`; after
that nobody waits for it again for `REST_S` seconds. Several addresses are tried in turn.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from k2_plugin_kafka.settings import KafkaSettings
from k2core.plugin import BrokerAwayError, Metrics, SchemaError

REST_S = 2.0
"""A registry that did not answer is not asked again for so long: its timeout would be paid for every subject."""
SUITABLE = frozenset({"BACKWARD", "BACKWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"})
"""Levels under which every newer schema reads what older ones wrote."""
MOST = 8 << 20
"""Bytes of an answer, at most."""
ACCEPT = "application/vnd.schemaregistry.v1+json, application/json"


class Registry:
    """One registry. Safe to use from several threads; every call has a connection of its own.

    Args:
        settings: Address, credentials, timeout.
        metrics: Counts requests; None: nobody looks.
    """

    def __init__(self, settings: KafkaSettings, metrics: Metrics | None = None) -> None:
        self._settings, self._metrics = settings, metrics or Metrics()
        self._urls = [urlsplit(url.strip().rstrip("/")) for url in settings.schema_registry_url.split(",")]
        self._lock, self._rests_until, self._why = threading.Lock(), float("-inf"), ""

    def versions(self, subject: str) -> list[tuple[int, str]]:
        """(id, schema) of every version of a subject, oldest first; empty where there is no such subject."""
        path = f"/subjects/{quote(subject, safe='')}/versions"
        status, numbers = self._ask("GET", path)
        if status == 404:
            return []
        each = self._shaped(self._told((status, numbers), subject), list)
        found = [self._described(self._ask("GET", f"{path}/{number}"), subject) for number in sorted(each, key=_number)]
        return [(one, str(schema)) for one, schema in found]

    def register(self, subject: str, schema: str) -> int:
        """Register a schema; the same again is the same id.

        Raises:
            SchemaError: It is not compatible with those that are there.
        """
        answer = self._ask("POST", f"/subjects/{quote(subject, safe='')}/versions", {"schema": schema})
        return self._id(self._shaped(self._told(answer, subject), dict))

    def level(self, subject: str = "") -> str:
        """The compatibility level of a subject, or the global one; empty where none is set."""
        status, answer = self._ask("GET", f"/config/{quote(subject, safe='')}".rstrip("/"))
        if status == 404:
            return ""
        return str(self._shaped(self._told((status, answer), subject or "any"), dict).get("compatibilityLevel", ""))

    def set_level(self, subject: str, level: str) -> None:
        """Set the compatibility level of a subject."""
        self._told(self._ask("PUT", f"/config/{quote(subject, safe='')}", {"compatibility": level}), subject)

    def mode(self) -> str:
        """READWRITE, READONLY …; empty where the registry knows no modes."""
        status, answer = self._ask("GET", "/mode")
        return str(answer.get("mode", "")) if status == 200 and isinstance(answer, dict) else ""

    def subjects(self) -> int:
        """How many subjects there are."""
        return len(self._shaped(self._told(self._ask("GET", "/subjects"), "all subjects"), list))

    def _described(self, answer: tuple[int, Any], subject: str) -> tuple[int, str]:
        """Id and schema of one version."""
        held = self._shaped(self._told(answer, subject), dict)
        return self._id(held), str(self._shaped(held.get("schema"), str))

    def _id(self, held: dict[str, Any]) -> int:
        """An id, which must fit into the four bytes that a record has for it."""
        found = self._shaped(held.get("id"), int)
        return int(found) if 0 <= found < 1 << 32 else self._shaped(None, int)

    def _shaped(self, answer: Any, kind: type) -> Any:
        if not isinstance(answer, kind) or isinstance(answer, bool):
            raise self._unavailable(f"it answers with {str(answer)[:50]!r}, which is no answer of a schema registry")
        return answer

    def _told(self, answer: tuple[int, Any], subject: str) -> Any:
        status, body = answer
        if status < 300:
            return body
        said = body.get("message", "") if isinstance(body, dict) else ""
        if status in (409, 422):
            raise SchemaError(
                f"subject {subject}: the schema registry refuses a schema of k2's as not compatible ({status} {said}): "
                "somebody else registered there; see k2 schema check"
            )
        raise self._unavailable(f"it answers {status} {said}".rstrip() + f" for subject {subject}")

    def _ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and answer; 404 is one too.

        Raises:
            BrokerAwayError: No address answers in time, or with sense.
        """
        with self._lock:
            if time.monotonic() < self._rests_until:
                raise self._unavailable(self._why)
        why = ""
        for url in self._urls:
            try:
                status, answer = self._call(url, method, path, body)
            except (OSError, http.client.HTTPException, ValueError) as error:
                why = f"{type(error).__name__}: {error}"
                continue
            if status < 500 and status not in (401, 403):
                self._count("refused" if status in (409, 422) else "answered")
                return status, answer
            why = f"it answers {status}"
        self._count("away")
        with self._lock:
            self._rests_until, self._why = time.monotonic() + REST_S, why
        raise self._unavailable(why)

    def _count(self, outcome: str) -> None:
        self._metrics.add("k2_kafka_registry_requests_total", outcome=outcome)

    def _call(self, url: SplitResult, method: str, path: str, body: object) -> tuple[int, Any]:
        link = self._connection(url)
        try:
            text = None if body is None else json.dumps(body)
            link.request(method, url.path + path, text, self._headers())
            answer = link.getresponse()
            read = self._body(answer, time.monotonic() + self._settings.schema_registry_timeout_s)
            if answer.status >= 500 or answer.status in (401, 403):
                return answer.status, {}
            return answer.status, json.loads(read or b"null")
        finally:
            link.close()

    def _body(self, answer: http.client.HTTPResponse, until: float) -> bytes:
        """All of an answer; one that comes in drops has its time too."""
        read = b""
        while piece := answer.read1(MOST):
            read += piece
            if len(read) > MOST or time.monotonic() > until:
                raise ValueError("its answer does not end")
        return read

    def _connection(self, url: SplitResult) -> http.client.HTTPConnection:
        timeout = self._settings.schema_registry_timeout_s
        host = url.hostname or ""
        if url.scheme == "http":
            return http.client.HTTPConnection(host, url.port, timeout=timeout)
        ca = self._settings.schema_registry_ca_location
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        return http.client.HTTPSConnection(host, url.port, timeout=timeout, context=context)

    def _headers(self) -> dict[str, str]:
        found = {"Accept": ACCEPT, "Content-Type": "application/vnd.schemaregistry.v1+json"}
        if user := self._settings.schema_registry_user:
            pair = f"{user}:{self._settings.schema_registry_password.get_secret_value()}"
            found["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return found

    def _unavailable(self, why: str) -> BrokerAwayError:
        return BrokerAwayError(
            f"the schema registry at {self._settings.schema_registry_url} cannot be used: {why}; "
            "see broker.schema_registry_url, and k2 doctor"
        )


def _number(version: object) -> int:
    return version if isinstance(version, int) else 0


def canonical(schema: str) -> str:
    """A schema's text in one form, so that two that mean the same are equal."""
    return json.dumps(json.loads(schema), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def prefix_of(there: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether a registered lineage is the beginning of another."""
    return list(there) == list(wanted[: len(there)])
