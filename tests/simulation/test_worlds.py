"""At least 500 seeded worlds, from frame to answer, with six kinds of fault; each is repeated by one command.

`K2_SEED=7 python3 noxfile.py -s tests -- tests/simulation/test_worlds.py -k one_world` lives world 7 in the test's own
process. `K2_LONG=1` lives 20,000.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.simulation.ending import live
from tests.simulation.hunt import results, start
from tests.simulation.lakes import live as live_on_disk
from tests.simulation.sharing import live as live_shared

LONG = os.environ.get("K2_LONG") == "1"
WORLDS, FILE_WORLDS, SHARED_WORLDS = (20_000, 400, 5000) if LONG else (500, 24, 120)
LIMIT_S = 7200 if LONG else 900
AGAIN = "repeat it: K2_SEED={} python3 noxfile.py -s tests -- tests/simulation/test_worlds.py -k {}"

FAULTS = {
    "cut": ("cut", "capture killed", "killed at produce", "unheard", "holes", "holes all named", "log full for capture"),
    "double": ("double: recent", "double: old"),
    "late": ("late", "hours passed"),
    "crash": (
        "killed at produce", "killed at produced", "killed at stage", "killed at swap", "killed at reply",
        "killed at settle", "killed at claim", "killed at load", "killed at poll", "killed at head", "taken over",
        "one partition lost", "writer ended: FencedError",
    ),
    "slow or failing commit": (
        "slow stage", "slow swap", "slow reply", "slow settle", "others were faster", "landed, reply lost",
        "sent, nothing heard", "landed long after", "failed at stage", "failed at settle", "failed at head", "compacted",
    ),
    "tail restart": (
        "server restarted", "tail rebuilt", "tail shortened", "rolled back", "expired", "retained", "holes read",
        "failed at source",
    ),
    "bad input": ("malformed", "bad"),
    "load": (
        "memory short", "records shed", "ranges brought back", "ranges restored", "ranges lost", "incomplete answers",
    ),
}  # fmt: skip
SHARED = (
    "joined", "left", "once ended", "frozen", "session lost", "told a stale share", "share not told", "slow take-over",
    "slow load", "slow swap", "slow reply", "killed at swap", "killed at load", "landed, reply lost",
    "sent, nothing heard", "landed long after", "others were faster", "one partition lost", "rolled back", "failed at head",
    "failed at take-over", "failed at load", "failed at settle",
)  # fmt: skip
FLOW = {
    "records": 40, "rows": 25, "answers": 12, "cold": 5, "hot": 5, "pages": 4, "cursors read to the end": 2, "as_of": 1,
}  # fmt: skip
"""What has to flow in a world, on the average."""


@pytest.mark.timeout(LIMIT_S)
def test_every_world_holds() -> None:
    told: Counter[str] = Counter()
    half = WORLDS // 2
    for found in results([start("flow", first, half) for first in (0, half)], LIMIT_S):
        assert found["seed"] is None, f"{found['seen']}; {AGAIN.format(found['seed'], 'one_world')}"
        told.update(found["told"])
    for kind, names in FAULTS.items():
        for name in names:
            assert told[name] > 0, f"{kind}: {name!r} never happened in {WORLDS} worlds: {dict(told)}"
    for name, each in FLOW.items():
        assert told[name] >= each * WORLDS, f"too little flowed: {told[name]} {name} in {WORLDS} worlds"


@pytest.mark.timeout(LIMIT_S)
def test_every_world_of_several_writers_holds() -> None:
    told: Counter[str] = Counter()
    half = SHARED_WORLDS // 2
    for found in results([start("shared", first, half) for first in (0, half)], LIMIT_S):
        assert found["seed"] is None, f"{found['seen']}; {AGAIN.format(found['seed'], 'one_shared_world')}"
        told.update(found["told"])
    for name in SHARED:
        assert told[name] > 0, f"{name!r} never happened in {SHARED_WORLDS} worlds: {dict(told)}"
    assert told["rows"] >= 25 * SHARED_WORLDS


def test_one_shared_world() -> None:
    told: Counter[str] = Counter()
    live_shared(int(os.environ.get("K2_SEED", "7")), told)
    assert told["joined"] > 0


def test_one_world() -> None:
    told: Counter[str] = Counter()
    live(int(os.environ.get("K2_SEED", "7")), told)
    assert told["answers"] > 0


@pytest.mark.parametrize("seed", [3, 11])
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    first, told = live(seed, Counter()), Counter[str]()
    assert first == live(seed, told) != live(seed + 1, Counter())
    (elsewhere,) = results([start("flow", seed, 1, PYTHONHASHSEED="12345")], LIMIT_S)
    assert elsewhere["trace"] == first, "another process comes to another trace"
    assert elsewhere["told"] == told


@pytest.mark.timeout(LIMIT_S)
def test_every_world_of_files_holds() -> None:
    told: Counter[str] = Counter()
    half = FILE_WORLDS // 2
    for found in results([start("files", first, half) for first in (0, half)], LIMIT_S):
        assert found["seed"] is None, f"{found['seen']}; {AGAIN.format(found['seed'], 'one_file_world')}"
        told.update(found["told"])
    for name in ("power cuts", "files lost", "commits", "maintained", "rows read back"):
        assert told[name] >= FILE_WORLDS, f"{name} happened too rarely: {dict(told)}"


def test_one_file_world() -> None:
    told: Counter[str] = Counter()
    live_on_disk(int(os.environ.get("K2_SEED", "7")), told)
    assert told["commits"] > 0
