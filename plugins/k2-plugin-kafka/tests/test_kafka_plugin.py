"""Settings and entry module: light, typed, exact about who owns which property, and no secret in anything that is shown."""

from __future__ import annotations

import logging
import pathlib
import subprocess
import sys
from typing import Any

import kafka_world as world
import numpy as np
import pytest
from confluent_kafka import KafkaError
from k2_plugin_kafka.client import Told, common, masked, translated
from k2_plugin_kafka.framing import FRAME, has_symbol, head_of, id_of, messages_of
from k2_plugin_kafka.membership import GroupMembership
from k2_plugin_kafka.settings import KafkaSettings
from pydantic import ValidationError

from k2core.plugin import BrokerAwayError, ConfigError, EncodedBatch, Metrics

SECRETS: dict[str, Any] = {
    "sasl_password": "hunter2", "ssl_key_password": "hunter3", "schema_registry_password": "hunter4",
    "client": {"sasl.oauthbearer.client.secret": "hunter5", "debug": "broker",
               "sasl.oauthbearer.assertion.private.key.passphrase": "hunter6", "sasl.oauthbearer.config": "hunter55"},
}  # fmt: skip


def test_the_entry_module_is_light() -> None:
    heavy = "import sys, k2_plugin_kafka; print([m for m in ('numpy', 'confluent_kafka') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_secrets_are_shown_nowhere_and_reach_the_client() -> None:
    settings = KafkaSettings(**SECRETS)
    assert "hunter" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    given = common(settings, "reader", Told(settings))
    assert (given["sasl.password"], given["ssl.key.password"]) == ("hunter2", "hunter3")
    assert given["sasl.oauthbearer.client.secret"] == "hunter5"
    assert masked("a hunter2 b hunter5 c hunter4 d hunter55", settings) == "a *** b *** c *** d ***"


def test_an_error_of_the_client_shows_no_secret() -> None:
    settings = KafkaSettings(**SECRETS)
    with pytest.raises(ConfigError) as raised, translated(settings, "connect"):
        raise ValueError("cannot use hunter2 here")
    assert "hunter" not in str(raised.value)


@pytest.mark.parametrize(
    ("key", "named"),
    [("bootstrap.servers", "bootstrap_servers"), ("sasl.password", "sasl_password"), ("acks", "broker.acks"),
     ("linger.ms", "linger_ms"), ("message.max.bytes", "message_bytes"), ("enable.auto.commit", "cannot be set"),
     ("auto.offset.reset", "cannot be set"), ("enable.idempotence", "cannot be set"), ("partitioner", "cannot be set"),
     ("isolation.level", "cannot be set"), ("check.crcs", "cannot be set"), ("auto.commit.enable", "cannot be set"),
     ("transactional.id", "cannot be set"), ("delivery.report.only.error", "cannot be set")],
)  # fmt: skip
def test_a_property_that_is_ours_is_refused_with_the_name_of_its_setting(key: str, named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        KafkaSettings(client={key: "x"})


@pytest.mark.parametrize(
    ("given", "said"),
    [({"acks": 0}, "acks"), ({"replication_factor": 1, "min_insync_replicas": 2}, "nothing could ever be written"),
     ({"session_timeout_s": 1, "heartbeat_s": 0.5}, "third"), ({"security_protocol": "sasl_ssl"}, "sasl_mechanism"),
     ({"schema_registry_url": "127.0.0.1:8081"}, "http://"), ({"schema_registry_url": "http://me:pw@x"}, "password"),
     ({"session_timeout_s": 90}, "poll_interval_s"), ({"bootstrap_server": "x"}, "bootstrap_server")],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        KafkaSettings(**given)


def test_what_is_left_unset_follows_the_replication() -> None:
    assert [KafkaSettings(replication_factor=n).in_sync for n in (1, 2, 3, 5)] == [1, 2, 2, 2]
    assert (KafkaSettings(acks=1).acks, KafkaSettings(acks=-1).acks) == ("1", "all")  # type: ignore[arg-type]
    assert KafkaSettings(security_protocol="SASL_SSL", sasl_mechanism="PLAIN").security_protocol == "sasl_ssl"  # type: ignore[arg-type]


def test_a_property_that_the_client_does_not_know_is_a_mistake_in_the_settings(tmp_path: pathlib.Path) -> None:
    log = world.broker("127.0.0.1:1", "http://127.0.0.1:1", tmp_path, client={"no.such.thing": 1})
    with pytest.raises(ConfigError, match=r"no\.such\.thing"):
        log.topics()


def test_nothing_is_reached_before_it_is_needed_and_away_is_said(tmp_path: pathlib.Path) -> None:
    log = world.broker("127.0.0.1:1", "http://127.0.0.1:1", tmp_path, answer_timeout_s=0.5)
    with log, pytest.raises(BrokerAwayError, match=r"127\.0\.0\.1:1"):
        log.topics()


def test_a_note_refused_while_partitions_move_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    settings, logger = KafkaSettings(bootstrap_servers="127.0.0.1:1"), logging.getLogger("k2.test.member")
    member = GroupMembership(settings, logger, "lake", ["t"], None, Metrics())
    moving, denied = KafkaError(KafkaError.ILLEGAL_GENERATION), KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)
    with caplog.at_level(logging.INFO, logger.name):
        for error in (moving, moving, denied, moving, denied):
            member._noted(error, [])
    member.close()
    told = [one for one in caplog.records if "group offsets are not noted" in one.getMessage()]
    assert [one.levelname for one in told] == ["INFO", "WARNING"], "each once"


def test_a_batch_is_framed_keyed_and_ordered_by_partition() -> None:
    symbols = ["BTC", "ETH/USD", "BTC", "X" * 80]
    data = [bytes([2 * len(s)]) + s.encode() + bytes([n]) for n, s in enumerate(symbols[:3])]
    data.append(b"\xa0\x01" + symbols[3].encode())
    sizes = np.array([len(d) for d in data], np.uint32)
    batch = EncodedBatch("t", 1, np.array([2, 0, 2, 1], np.int32), sizes, b"".join(data))
    made = dict(messages_of(batch, head_of(258), keyed=True))
    assert {p: [m["value"][FRAME:] for m in ms] for p, ms in made.items()} == {
        2: [data[0], data[2]],
        0: [data[1]],
        1: [data[3]],
    }
    assert {id_of(m["value"][:FRAME]) for ms in made.values() for m in ms} == {258}
    assert {p: [m["key"] for m in ms] for p, ms in made.items()} == {2: [b"BTC", b"BTC"], 0: [b"ETH/USD"], 1: [None]}
    assert "key" not in dict(messages_of(batch, head_of(1), keyed=False))[0][0]


def test_only_a_schema_that_begins_with_its_symbol_gives_a_key() -> None:
    record = '{"type":"record","name":"A","fields":[{"name":"%s","type":"%s"}]}'
    assert has_symbol(record % ("symbol", "string"))
    assert not any(map(has_symbol, (record % ("topic", "string"), record % ("symbol", "long"), '"bytes"')))
    assert [id_of(head) for head in (b"", b"\x01\x00\x00\x00\x01", b"\x00\x00\x00\x00\x01")] == [None, None, 1]
