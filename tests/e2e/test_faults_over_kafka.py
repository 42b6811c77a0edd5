"""Each fault on real services: Kafka, a registry, Redis, and `k2 ingest` and `k2 write` as processes.

Every test ends with the oracle (`Lake.exact`): the table is what the log accepted, each record once, dead letters named.
"""

from __future__ import annotations

import pathlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis_servers as servers
from k2_plugin_kafka.framing import head_of
from redis import Redis as Client

from k2core.writer.crash import POINTS
from tests.e2e.capture import capture, tape
from tests.e2e.faults_log import DEAD, LIMIT_S, TOPIC, Log
from tests.e2e.faults_made import SmallDisk, frozen, full, killed, strange_schema, without
from tests.e2e.faults_world import Lake
from tests.e2e.over_kafka import over_services

pytestmark = [pytest.mark.xdist_group("faults-over-kafka"), pytest.mark.timeout(300)]
LASTS_S, RATE = 1500.0, 50
MakeLake = Callable[..., Lake]
SOON_MISSED = '[broker.client]\n"topic.metadata.propagation.max.ms" = 2000\n'
"""A topic that is gone counts as missing after 2 s, not after the client's 30."""
OWNED = "k2_writer_partitions_owned"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    lasting = tape(recordings=None, trades=int(LASTS_S * RATE), seconds=LASTS_S, quotes_per_trade=1)
    quick = "\n[ingest]\nlinger_ms = 20\n"
    with capture(tmp_path_factory.mktemp("log"), lasting, quick) as world, over_services(world) as services:
        made = Log(world, services)
        yield made
        made.close()


@pytest.fixture
def lake(log: Log, kept: dict[str, Lake], tmp_path: pathlib.Path) -> Iterator[MakeLake]:
    """Makes a lake for this test alone."""
    made: list[Lake] = []
    only(kept)

    def make(**settings: Any) -> Lake:
        made.append(Lake(log, tmp_path, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def kept(log: Log) -> Iterator[dict[str, Lake]]:
    """The lake whose writers go from test to test, by its name."""
    held: dict[str, Lake] = {}
    yield held
    only(held)


@pytest.fixture
def steady(log: Log, kept: dict[str, Lake], tmp_path: pathlib.Path) -> Iterator[Lake]:
    """A lake with one writer, which every fault must leave running; another one where it did not."""
    yield from keep(kept, "steady", 1, lambda: Lake(log, tmp_path, lake="catalog_busy_s = 0.3", broker=SOON_MISSED))


@pytest.fixture
def shared(log: Log, kept: dict[str, Lake], tmp_path: pathlib.Path) -> Iterator[Lake]:
    """The same with two writers."""
    settings: dict[str, Any] = {"broker": "poll_interval_s = 3", "lake": "catalog_busy_s = 60"}
    yield from keep(kept, "shared", 2, lambda: Lake(log, tmp_path, **settings))


def keep(kept: dict[str, Lake], name: str, writers: int, make: Callable[[], Lake]) -> Iterator[Lake]:
    """One lake at a time: what nobody looks at would only take CPU from what is looked at."""
    only(kept, name)
    one = kept.pop(name, None) or make()
    while len(one.writers) < writers:
        one.writer()
    if writers > 1:
        one.until("they share", lambda: one.value(OWNED, "run-1", data_type="trades") > 0)
    one.goes_on()
    one.whole = False
    yield one
    if one.whole and all(writer.poll() is None for writer in one.writers[:writers]):
        kept[name] = one
    else:
        one.close()


def only(kept: dict[str, Lake], name: str = "") -> None:
    for other in kept.keys() - {name}:
        kept.pop(other).close()


def test_writers_are_killed_at_each_named_point(lake: MakeLake) -> None:
    one = lake()
    one.writer()
    one.goes_on()
    for point, doomed in [(point, one.writer(env={"K2_CRASH_AT": point})) for point in POINTS]:
        assert doomed.wait(LIMIT_S) == -signal.SIGKILL, f"{point}: {one.output()}"
    one.check_exact()


def test_partitions_are_asked_back_and_writers_told_to_end_in_the_middle_of_a_batch(lake: MakeLake) -> None:
    """The next commit is an hour away: what is stored is stored because partitions leave."""
    one = lake(commit_s=3600)
    first = one.writer()
    one.until("rows wait", lambda: one.value("k2_writer_waiting_records", data_type="trades") > 0)
    before = sum(one.head().values())
    second = one.writer()
    one.until("the first has handed over", lambda: one.value(OWNED, "run-1") > 0)
    assert sum(one.head().values()) > before
    one.until("rows wait there", lambda: one.value("k2_writer_waiting_records", "run-1", data_type="trades") > 0)
    for writer in (second, first):
        before = sum(one.head().values())
        one.ends_well(writer)
        assert sum(one.head().values()) > before
    one.check_exact(one.head())


def test_replies_to_commits_are_lost(lake: MakeLake) -> None:
    one = lake()
    one.writer("tests.e2e.losing_replies")
    one.goes_on()
    one.writer("tests.e2e.losing_replies")
    one.until("they share", lambda: one.value(OWNED, "run-1", data_type="trades") > 0)
    one.says("a reply is lost", one.said("a reply is lost") + 6)
    one.check_exact()


def test_the_registry_is_away_at_the_start_and_later(lake: MakeLake, log: Log, tmp_path: pathlib.Path) -> None:
    one, registry = lake(), log.services.registry
    first = one.writer()
    one.goes_on()
    registry.kill()
    one.goes_on()
    second = one.writer()
    one.until("they share", lambda: one.value(OWNED, "run-1", data_type="trades") > 0)
    one.goes_on()
    new_here = one.command("write", "--once", K2_BROKER__SCHEMA_CACHE=str(tmp_path / "none"))
    assert (new_here.returncode, registry.url in new_here.stderr) == (3, True), new_here.stderr
    registry.start()
    one.check_exact()
    one.ends_well(first, second)


def test_redis_fails_over_to_a_replica(lake: MakeLake, tmp_path: pathlib.Path) -> None:
    with servers.pair(tmp_path / "redis") as (primary, replica), servers.Sentinel(tmp_path / "s", primary) as sentinel:
        servers.until(lambda: sentinel.replicas() == 1, LIMIT_S)
        one = lake(redis="redis://Main/0", dedup=f'sentinels = ["127.0.0.1:{sentinel.port}"]')
        writer = one.writer()
        one.goes_on()
        primary.kill()
        one.says("dedup goes on without redis")
        servers.until(lambda: sentinel.primary() == replica.port, LIMIT_S)
        one.says("dedup has redis again")
        one.check_exact()
        one.ends_well(writer)


def test_the_disk_under_the_warehouse_is_full(lake: MakeLake) -> None:
    one, landed = lake(), {"outcome": "landed", "data_type": "trades"}
    disk = SmallDisk(one)
    writer = one.writer(before=disk.mounting())
    one.until("it commits", lambda: one.value("k2_writer_commits_total", **landed) > 0 or writer.poll() is not None)
    if writer.poll() is not None and ("mount:" in one.output() or "unshare:" in one.output()):
        pytest.skip(f"no small disk can be mounted here: {one.output()}")
    disk.fill()
    one.says("o space left on device", 2)
    before = one.value("k2_writer_commits_total", **landed)
    disk.clear()
    one.until("it commits again", lambda: one.value("k2_writer_commits_total", **landed) > before)
    disk.end()
    assert writer.wait(LIMIT_S) == 0, one.output()
    disk.keep()
    one.check_exact(one.head())


def test_a_writer_is_frozen_past_its_session_and_wakes(shared: Lake) -> None:
    one, before = shared, shared.said("partitions lost")
    one.writers[1].send_signal(signal.SIGSTOP)
    one.goes_on()
    one.writers[1].send_signal(signal.SIGCONT)
    one.says("partitions lost", before)
    one.check_exact()


def test_the_catalog_is_locked_for_longer_than_kafka_waits_for_a_consumer(shared: Lake) -> None:
    one, before = shared, shared.said("partitions lost")
    one.until("both are members", lambda: one.members() == 2)
    with one.catalog_locked():
        one.until("Kafka has given both up", lambda: one.members() == 0)
    one.says("partitions lost", before)
    one.check_exact()


def test_the_catalog_is_locked(steady: Lake) -> None:
    one = steady
    with one.catalog_locked():
        one.says("database is locked", one.said("database is locked") + 2)
    one.check_exact()


def test_the_broker_is_killed_and_comes_back_and_is_frozen(steady: Lake, log: Log) -> None:
    one, kafka, before = steady, log.services.kafka, steady.said("trying again")
    kafka.kill()
    one.says("trying again", before)
    kafka.start()
    one.goes_on()
    before = one.said("trying again")
    with kafka.frozen():
        one.says("trying again", before)
    one.check_exact()


def test_redis_is_killed_frozen_full_and_flushed(steady: Lake, log: Log) -> None:
    one, redis = steady, log.services.redis
    for fault in (killed, frozen, full):
        away, back = one.said("dedup goes on without redis"), one.said("dedup has redis again")
        with fault(redis):
            one.says("dedup goes on without redis", away)
            one.goes_on()
        one.says("dedup has redis again", back)
    with Client.from_url(redis.url) as client:
        client.flushall()
        one.goes_on()
        one.until("ids are back", lambda: int(client.dbsize()) > 1)
    one.check_exact()


def test_poison_in_the_topics(steady: Lake, log: Log) -> None:
    one, (good,) = steady, log.samples(1)
    (topic, number), other = good.place, (good.place[1] + 1) % 16
    values = [None, b"", b"not framed", head_of(99_999_999) + b"x", good.value[:-3], good.value + b"\x00", b"\x00\x00"]
    log.poisoned(*((topic, number, value) for value in values), (topic, other, good.value))
    one.check_exact()


def test_the_topic_of_dead_letters_is_away(steady: Lake, log: Log) -> None:
    one, place, before = steady, log.samples(1)[0].place, steady.said("trying again")
    with without(one, DEAD):
        log.poisoned((*place, b"poison"))
        one.says("trying again", before)
        assert "k2 topics apply" in one.output()
        assert one.head()[place] <= max(log.poison[place]), "a record whose letter is not kept is not passed"
    one.check_exact()


def test_somebody_else_registers_a_schema_that_reads_nothing_of_ours(steady: Lake, log: Log) -> None:
    one, trades = steady, TOPIC.format("trades")
    with strange_schema(log.services.registry.url, f"{trades}-value") as schema_id:
        log.poisoned((trades, 3, head_of(schema_id) + b"\x02"), (trades, 3, head_of(schema_id)))
        new = one.command("write", "--once")
        assert (new.returncode, f"subject {trades}-value" in new.stderr) == (1, True), new.stderr
        one.goes_on()
    assert one.command("topics", "plan").returncode == 0
    one.check_exact()
