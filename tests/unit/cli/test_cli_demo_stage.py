"""The demo of degradation: its backfill's failure says why, its load is bounded, its proof sees what is not whole."""

from __future__ import annotations

import sys
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from k2core.broker.specs import topic_spec
from k2core.cli.demo_levels import LevelTrace, not_whole
from k2core.cli.demo_load import PIECE, SYMBOLS, TOPIC, Load
from k2core.cli.demo_stage import bring_back
from k2core.clock import SystemClock
from k2core.degradation.events import LEVELS_TOPIC, encoded
from k2core.errors import K2Error
from k2core.records.builtin import LEVELS, TRADES
from k2core.testing.memory_log import MemoryLog

WHOLE = [("A", 1), ("A", 2), ("A", 3), ("B", 1)]


def stage(**more: Any) -> Any:
    def check(what: str, since: float) -> None:
        return None

    return SimpleNamespace(**{"say": lambda line: None, "clock": SystemClock(), "check": check, **more})


def command(program: str) -> list[str]:
    return [sys.executable, "-c", program]


@pytest.mark.parametrize(("program", "why"), [
    ("import sys; sys.exit('note: first\\nerror: the log is busy')", "exit code 1: the log is busy"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "killed by SIGTERM: it said nothing"),
])  # fmt: skip
def test_a_backfill_that_fails_says_why(program: str, why: str) -> None:
    with pytest.raises(K2Error, match=f"k2 backfill --from-log failed: {why}"):
        bring_back(stage(), command(program))


def test_a_backfill_gets_the_commands_arguments_and_its_answer_is_read() -> None:
    told = bring_back(stage(), command("import json, sys; print(json.dumps([{'arguments': sys.argv[1:]}]))"))
    assert told == [{"arguments": ["backfill", "--from-log", "--json"]}]


def test_a_backfill_ends_with_the_demo() -> None:
    def check(what: str, since: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring_back(stage(check=check), command("import time; time.sleep(600)"))


def test_the_load_is_bounded_and_comes_in_small_pieces() -> None:
    log = MemoryLog(SystemClock())
    log.ensure_topics([topic_spec(TOPIC, TRADES)])
    with closing(log.producer()) as producer:
        load = Load(producer, most=1000)
        load.send(900)
        with pytest.raises(K2Error, match="the writer took 900 trades"):
            load.send(110)
    assert load.issued == dict.fromkeys(SYMBOLS, 100)
    assert sum(log.ends([TOPIC.name]).values()) == 900
    blocks = log.consumer([TOPIC.name]).poll(10_000, 0)
    assert max(len(block) for block in blocks) <= PIECE
    assert sum(len(block.data) for block in blocks) == sum(int(block.sizes.sum()) for block in blocks)


@pytest.mark.parametrize(("rows", "why"), [
    (WHOLE, ""),
    (WHOLE[1:], "A: 3 sent, 2 stored, 1 missing, 0 twice"),
    ([*WHOLE[:1], *WHOLE[2:]], "A: 3 sent, 2 stored, 1 missing, 0 twice"),
    ([*WHOLE, ("A", 2)], "A: 3 sent, 4 stored, 0 missing, 1 twice"),
    ([*WHOLE[:1], *WHOLE[2:], ("A", 3)], "A: 3 sent, 3 stored, 1 missing, 1 twice"),
    ([*WHOLE, ("B", 2)], "B: ids 1 to 2 are stored, 1 to 1 were sent"),
    ([*WHOLE, ("C", 1)], "C: ids 1 to 1 are stored, 1 to 0 were sent"),
    (WHOLE[:3], "B: 1 sent, 0 stored, 1 missing, 0 twice"),
    ([], "A: 3 sent, 0 stored, 3 missing, 0 twice"),
])  # fmt: skip
def test_the_proof_sees_what_is_not_whole(rows: list[tuple[str, int]], why: str) -> None:
    symbols, ids = pa.array([s for s, _ in rows], pa.string()), pa.array([str(n) for _, n in rows], pa.string())
    assert not_whole(pa.table({"symbol": symbols, "trade_id": ids}), {"A": 3, "B": 1}) == why


def test_a_level_is_left_when_it_falls_below_it_and_not_when_it_rises() -> None:
    log = MemoryLog(SystemClock())
    log.ensure_topics([topic_spec(LEVELS_TOPIC, LEVELS)])
    trace = LevelTrace(log, 0.0)
    with closing(log.producer()) as producer:
        for at, (previous, level) in enumerate([("NORMAL", "SOFT"), ("SOFT", "GRACEFUL"), ("GRACEFUL", "NORMAL")]):
            row = {
                "symbol": "market.trades", "exchange": "k2", "exchange_timestamp_ms": at, "writer": "test",
                "level": level, "previous": previous, "cause": "lag", "lag_records": 7, "memory_ratio": 0.0,
            }  # fmt: skip
            producer.produce([encoded(row)])
    assert len(trace.look()) == 3
    left = {name: (entered, gone) for name, entered, _, gone in trace.steps()}
    assert left["SOFT"][1] == left["GRACEFUL"][1]
    assert left["SOFT"][0] <= left["GRACEFUL"][0] <= left["GRACEFUL"][1]
