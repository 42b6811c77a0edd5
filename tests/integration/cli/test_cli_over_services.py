"""The command line over a real Kafka, schema registry and Redis: topics, lag, doctor, schema check, exit codes."""

from __future__ import annotations

import json
import pathlib
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from k2core.cli.main import run
from k2core.records.builtin import TRADES as TRADES_TYPE
from tests.services.kafka import Kafka
from tests.services.process import Service, free_port
from tests.services.redis import Redis
from tests.services.registry import Registry
from tests.services.running import running

pytestmark = pytest.mark.xdist_group("cli-over-services")
ROWS, SYMBOLS = 2_000, 40
TRADES = "market.equities.trades.asx"
BUSY_S = 50.0
"""What takes 3 s on a machine that has nothing else to do, in a test run."""
TRIES = 5
Shown = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class Services:
    """Our own: their topics are all ours, and they are frozen."""

    kafka: Kafka
    registry: Registry
    redis: Redis

    def settings(self, *, stop: bool = False) -> str:
        return f"""
            [broker]
            use = "kafka"
            bootstrap_servers = "{self.kafka.bootstrap_servers}"
            schema_registry_url = "{self.registry.url}"
            replication_factor = 1
            [dedup]
            use = "redis"
            url = "{self.redis.url}"
            on_failure = "{"stop" if stop else "memory"}"
            [imports.asx]
            use = "files"
            exchange = "asx"
            asset_class = "equities"
            data_type = "trades"
            columns = {{symbol = "Code", price = "Price", quantity = "Volume"}}
            time = {{columns = ["t"], format = "iso"}}
        """


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("services")
    made = Services(Kafka(folder / "kafka"), Registry(folder / "registry"), Redis(folder / "redis"))
    with running(made.kafka, made.registry, made.redis):
        yield made


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """One folder for all tests of the module: a deployment."""
    folder = tmp_path_factory.mktemp("home")
    lines = (f"S{n % SYMBOLS},1.5,2,2025-01-01T00:00:{n % 60:02}.{n:06}Z" for n in range(ROWS))
    (folder / "rows.csv").write_text("Code,Price,Volume,t\n" + "\n".join(lines) + "\n")
    return folder


@pytest.fixture
def k2(
    home: pathlib.Path, services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shown:
    monkeypatch.chdir(home)
    monkeypatch.setenv("K2_API__PORT", "0")
    monkeypatch.setenv("K2_METRICS__ENABLED", "false")
    (home / "k2.toml").write_text(services.settings())

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(list(arguments))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


@pytest.fixture
def ready(k2: Shown) -> Shown:
    """The same once topics are made; whichever tests ran before, here or on another worker."""
    code, _, err = k2("topics", "apply")
    assert code == 0, err
    return k2


def doctor(k2: Shown) -> tuple[int, dict[str, dict[str, object]]]:
    code, out, _ = k2("doctor", "--json")
    return code, {one["name"]: one for one in json.loads(out)}


def patient_doctor(k2: Shown) -> tuple[int, dict[str, dict[str, object]]]:
    """As it is told once services had the time to answer: under a test run they may take longer than doctor waits."""
    for _ in range(TRIES):
        code, found = doctor(k2)
        if not any("no answer within" in str(one["detail"]) for one in found.values()):
            break
    return code, found


def test_1_nothing_makes_topics_but_apply(k2: Shown) -> None:
    for command in (("write", "--once"), ("import", "rows.csv"), ("serve",)):
        code, _, err = k2(*command)
        assert (code, "topics apply" in err.splitlines()[-1]) == (3, True), err
    code, found = patient_doctor(k2)
    assert (code, found["topic missing"]["repair"], found["subject missing"]["ok"]) == (1, "k2 topics apply", False)
    code, out, _ = k2("topics", "plan", "--json")
    wanted = {(c["kind"], c["name"]) for c in json.loads(out)}
    assert (code, {("topic", TRADES), ("subject", f"{TRADES}-value")} <= wanted) == (1, True)
    code, out, err = k2("topics", "apply", "--json")
    assert code == 0, err
    assert {(c["kind"], c["name"]) for c in json.loads(out)} == wanted
    for command in ("plan", "apply"):
        code, out, _ = k2("topics", command, "--json")
        assert (code, json.loads(out)) == (0, [])


def test_2_what_is_well_is_told_so(ready: Shown) -> None:
    code, found = patient_doctor(ready)
    assert [one for one in found.values() if not one["ok"]] == []
    assert code == 0
    assert {"broker", "schema registry", "topics", "history", "redis", "redis version", "tables"} <= set(found)
    code, out, _ = ready("schema", "check", "--json")
    assert (code, all(one["ok"] for one in json.loads(out))) == (0, True)


def test_3_lag_counts_down_to_nothing(ready: Shown) -> None:
    code, _, err = ready("import", "rows.csv")
    assert code == 0, err
    began = time.monotonic()
    (found,) = [one for one in json.loads(ready("lag", "--json")[1]) if one["data_type"] == "trades"]
    assert time.monotonic() - began < BUSY_S
    assert found["records"] == sum(one["records"] for one in found["partitions"]) == ROWS
    assert all(0 <= one["seconds"] <= 120 for one in found["partitions"])
    assert found["seconds"] == max(one["seconds"] for one in found["partitions"])
    code, _, err = ready("write", "--once")
    assert code == 0, err
    (found,) = [one for one in json.loads(ready("lag", "--json")[1]) if one["data_type"] == "trades"]
    assert (found["records"], found["seconds"], found["partitions"]) == (0, 0.0, [])


def test_4_a_setting_that_somebody_changed_is_found_and_mended(ready: Shown, services: Services) -> None:
    from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    admin = AdminClient({"bootstrap.servers": services.kafka.bootstrap_servers})
    entry = ConfigEntry("retention.ms", "3600000", incremental_operation=AlterConfigOpType.SET)
    for done in admin.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, TRADES, incremental_configs=[entry])]
    ).values():
        done.result(120)
    code, found = patient_doctor(ready)
    one = found[f"setting {TRADES} retention.ms"]
    assert (code, one["ok"], one["repair"]) == (1, False, "k2 topics apply")
    assert "3600000, wanted: 7776000000" in str(one["detail"])
    assert ready("topics", "plan")[0] == 1
    assert ready("topics", "apply")[0] == 0
    assert patient_doctor(ready)[0] == 0


@pytest.mark.parametrize(("part", "said"), [("kafka", "broker"), ("registry", "schema registry"), ("redis", "redis")])
def test_5_a_frozen_part_is_told_in_time(ready: Shown, services: Services, part: str, said: str) -> None:
    frozen: Service = getattr(services, part)
    with frozen.frozen():
        began = time.monotonic()
        code, found = doctor(ready)
        assert time.monotonic() - began < BUSY_S
    assert (code, found[said]["ok"], bool(found[said]["repair"])) == (1, False, True), found
    assert found["tables"]["ok"]


def test_6_a_redis_that_may_not_be_done_without(ready: Shown, services: Services, home: pathlib.Path) -> None:
    (home / "k2.toml").write_text(services.settings(stop=True))
    with services.redis.frozen():
        for command in (("write", "--once"), ("write",)):
            code, _, err = ready(*command)
            assert (code, "nothing is written without it" in err.splitlines()[-1]) == (3, True), err
    assert ready("write", "--once")[0] == 0


def test_7_a_log_or_registry_that_is_away_is_exit_3(k2: Shown, services: Services, home: pathlib.Path) -> None:
    away = services.settings().replace(services.kafka.bootstrap_servers, f"127.0.0.1:{free_port()}")
    away = away.replace("replication_factor", "answer_timeout_s = 1\n            replication_factor")
    (home / "k2.toml").write_text(away + "\n[connectors.binance]\nsymbols = ['A']\n")
    for command in (("lag",), ("topics", "apply"), ("write", "--once"), ("ingest",), ("up",), ("query", "trades")):
        began = time.monotonic()
        code, _, err = k2(*command)
        assert (code, "Kafka at 127.0.0.1" in err.splitlines()[-1]) == (3, True), err
        assert time.monotonic() - began < 2 * BUSY_S
    (home / "k2.toml").write_text(services.settings().replace(services.registry.url, f"http://127.0.0.1:{free_port()}"))
    for command in (("topics", "plan"), ("schema", "check")):
        code, _, err = k2(*command)
        assert (code, "schema registry" in err.splitlines()[-1]) == (3, True), err


def test_8_a_schema_of_somebody_else_is_found(k2: Shown, services: Services) -> None:
    newer = TRADES_TYPE.avro_schema(TRADES_TYPE.versions)
    newer["fields"] = [*newer["fields"], {"name": "venue", "type": ["null", "string"], "default": None}]
    body = json.dumps({"schema": json.dumps(newer)}).encode()
    request = urllib.request.Request(f"{services.registry.url}/subjects/{TRADES}-value/versions", body, method="POST")
    request.add_header("Content-Type", "application/vnd.schemaregistry.v1+json")
    urllib.request.urlopen(request, timeout=60).close()
    code, out, _ = k2("schema", "check", "--json")
    wrong = [one for one in json.loads(out) if not one["ok"]]
    assert (code, [one["name"] for one in wrong]) == (1, [f"subject {TRADES}-value"])
    code, _, err = k2("topics", "apply")
    assert (code, f"{TRADES}-value" in err) == (1, True)
