"""SASL and TLS against a real broker that wants them; what is wrong is said, in time, and no password with it."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import kafka_world as world
import pytest

from k2core.plugin import BrokerAwayError
from k2core.testing.conformance.broker_world import drain, numbered, numbers_of, topic_spec
from tests.services.fixtures import Address
from tests.services.kafka import Kafka
from tests.services.process import free_port
from tests.services.running import running

pytestmark = pytest.mark.xdist_group("kafka-security")
PASSWORD = "correct-horse-battery"
SASL = {"security_protocol": "sasl_plaintext", "sasl_mechanism": "PLAIN", "sasl_username": "k2"}


class Secured(Kafka):
    """A broker with two more doors: one wants a password, the other a certificate of our own authority."""

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(folder, controller_port=free_port())
        self.sasl, self.tls = free_port(), free_port()
        self.authority = self._certificates()

    @property
    def name(self) -> str:
        return "kafka"

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def _certificates(self) -> pathlib.Path:
        """An authority, and what it signed for the broker and for k2."""
        made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem")
        self._openssl(*made, "-subj", "/CN=k2 test authority")
        (self.folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
        for name in ("broker", "k2"):
            asked = ("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr")
            self._openssl(*asked, "-subj", f"/CN={name}")
            signed = ("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
            self._openssl(*signed, "-days", "2", "-extfile", "names", "-out", f"{name}.pem")
        store = (self.folder / "broker.key").read_text() + (self.folder / "broker.pem").read_text()
        (self.folder / "store.pem").write_text(store)
        return self.folder / "ca.pem"

    def _properties(self) -> dict[str, str]:
        found = super()._properties()
        jaas = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_k2="{PASSWORD}";'
        for key, form in (("listeners", "{}"), ("advertised.listeners", "{}")):
            doors = f"SASL://127.0.0.1:{self.sasl},TLS://127.0.0.1:{self.tls}"
            found[key] = f"{form.format(found[key])},{doors}"
        found["listener.security.protocol.map"] += ",SASL:SASL_PLAINTEXT,TLS:SSL"
        return found | {
            "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl.plain.sasl.jaas.config": jaas,
            "listener.name.tls.ssl.keystore.type": "PEM",
            "listener.name.tls.ssl.keystore.location": str(self.folder / "store.pem"),
            "listener.name.tls.ssl.truststore.type": "PEM",
            "listener.name.tls.ssl.truststore.location": str(self.authority),
            "listener.name.tls.ssl.client.auth": "required",
        }


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    made = Secured(tmp_path_factory.mktemp("kafka-secured"))
    with running(made):
        yield made


def tls(secured: Secured) -> dict[str, Any]:
    return {
        "security_protocol": "ssl", "ssl_ca_location": secured.authority,
        "ssl_certificate_location": secured.folder / "k2.pem", "ssl_key_location": secured.folder / "k2.key",
    }  # fmt: skip


def assert_speaks(log: Any) -> None:
    """Every part goes through the same door: topics, records both ways, a group."""
    topic = world.new_topic()
    with log:
        log.ensure_topics([topic_spec(topic)])
        log.producer().produce([numbered(topic, range(8))])
        assert sorted(numbers_of(drain(log.consumer([topic])))) == list(range(8))
        assert log.join("g", [topic]).partitions() is not None
        wait_well(log)


def wait_well(log: Any) -> None:
    """Findings have their time, which is over soon where the machine is busy: one that is well is well."""
    deadline = time.monotonic() + 120
    while wrong := [finding for finding in log.findings() if not finding.ok]:
        assert time.monotonic() < deadline, wrong


def test_with_a_password(secured: Secured, schema_registry: Address, tmp_path: pathlib.Path) -> None:
    at = f"127.0.0.1:{secured.sasl}"
    assert_speaks(world.broker(at, schema_registry.url, tmp_path, **SASL, sasl_password=PASSWORD))


def test_with_certificates_both_ways(secured: Secured, schema_registry: Address, tmp_path: pathlib.Path) -> None:
    assert_speaks(world.broker(f"127.0.0.1:{secured.tls}", schema_registry.url, tmp_path, **tls(secured)))


def test_what_is_wrong_is_said_without_the_password(
    secured: Secured, schema_registry: Address, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = "wrong-horse"
    cases: list[tuple[int, dict[str, Any], str]] = [
        (secured.sasl, {**SASL, "sasl_password": wrong}, "uthentication"),
        (secured.tls, {"security_protocol": "ssl"}, "ssl_ca_location|verify|certificate"),
        (secured.tls, {}, "127.0.0.1"),
    ]
    for port, given, said in cases:
        log = world.broker(f"127.0.0.1:{port}", schema_registry.url, tmp_path, answer_timeout_s=2, **given)
        with log:
            told = wait_told(log, said)
        findings = [finding for finding in log.findings() if not finding.ok]
        assert findings
        assert wrong not in f"{told} {findings} {caplog.text}"


def wait_told(log: Any, said: str) -> str:
    """What is said in the end: 2 s may be over before the broker refuses."""
    deadline = time.monotonic() + 120
    while True:
        with pytest.raises(BrokerAwayError) as raised:
            log.topics()
        if re.search(said, str(raised.value)):
            return str(raised.value)
        assert time.monotonic() < deadline, raised.value
