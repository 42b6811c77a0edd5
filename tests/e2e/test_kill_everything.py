"""`kill -9` over every process: ingest, write and serve, at random moments, while the exchange plays on.

Once on one machine alone, and once with the log in a real Kafka, its schemas in a registry, and ids in Redis.
"""

from __future__ import annotations

import os
import pathlib
import random
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from statistics import median

import pytest

from k2core.cli.demo_tour import Api
from tests.e2e.accepted import verdict
from tests.e2e.capture import Capture, capture, tape, wait_until
from tests.e2e.over_kafka import over_services

LONG = bool(os.environ.get("K2_LONG"))
ROUNDS = 170 if LONG else 8
COMMANDS = ("ingest", "write", "serve")
LASTS_S = 40.0 if LONG else 100.0
"""Of the tape, for each round: on a busy machine a round takes long, and there must be fresh records to the end."""
RATE = 20 if LONG else 50
QUICK = '\n[ingest]\nlinger_ms = 20\n\n[run]\nlog_level = "WARNING"\n'
FRESH_S, HANGS_S = 30.0, 180.0
"""Within the first, fresh records are queryable again, as a rule; on a machine that is busy with more, within the second."""
KEY = "k2_" + "e" * 40


def newest_us(api: Api) -> int:
    """When the newest trade that the API knows was received, Unix µs; 0 where it does not answer, or knows none."""
    try:
        answer = api.get("/v1/trades", limit=1, order="desc")
    except ConnectionError:
        return 0
    assert answer.status in (200, 503), answer.body
    rows = answer.body["trades"] if answer.status == 200 else []
    return int(rows[0]["received_timestamp_us"]) if rows else 0


def kill_all(world: Capture, api: Api, running: dict[str, subprocess.Popen[bytes]], moments: random.Random) -> float:
    """Kill each process once, in any order; each is started again at once. Returns seconds until a fresh answer."""
    for command in moments.sample(COMMANDS, len(COMMANDS)):
        time.sleep(moments.uniform(0.2, 0.9))
        assert running[command].poll() is None, world.output(command)
        running[command].kill()
        running[command].wait(10)
        running[command] = world.start(command)
    killed = time.time()
    wait_until("a record received since is answered", lambda: newest_us(api) >= killed * 1e6, HANGS_S)
    return time.time() - killed


@pytest.mark.timeout(900 if not LONG else 5400)
@pytest.mark.parametrize("services", [nullcontext, over_services], ids=["alone", "kafka-registry-redis"])
def test_nothing_accepted_is_missing_or_twice_whatever_is_killed(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    services: Callable[[Capture], AbstractContextManager[object]],
) -> None:
    seed = int(os.environ.get("K2_SEED", time.time_ns() % 1_000_000))
    print(f"repeat with K2_SEED={seed}")
    moments, seconds = random.Random(seed), ROUNDS * LASTS_S
    monkeypatch.setenv("K2_API_KEY", KEY)
    lasting = tape(recordings=None, trades=int(seconds * RATE), seconds=seconds, quotes_per_trade=0.5)
    with capture(tmp_path, lasting, QUICK) as world, services(world):
        api = Api(world.port, KEY)
        request.addfinalizer(api.close)
        running = {command: world.start(command) for command in COMMANDS}
        world.exchange.play()
        wait_until("the first answer", lambda: newest_us(api) > 0)
        fresh = [kill_all(world, api, running, moments) for _ in range(ROUNDS)]
        print(f"{3 * ROUNDS} kills; fresh records answered after {max(fresh):.1f} s at most")
        assert median(fresh) <= FRESH_S
        finish(world, running)
        for name in ("trades", "quotes"):
            found = verdict(world, name)
            assert found.ok, f"{name}: {found}"
            assert found.issued > 100


def finish(world: Capture, running: dict[str, subprocess.Popen[bytes]]) -> None:
    """End capture, then commit what the log holds."""
    for command in ("ingest", "write"):
        world.begun(command, running[command])
        running[command].terminate()
        assert running[command].wait(120) == 0, world.output(command)
    last = world.start("write", "--once")
    assert last.wait(120) == 0, world.output("write")
