"""Shedding on real parts: the embedded log and an Iceberg table: what is left out is named, and comes back once."""

from __future__ import annotations

import importlib.util
import pathlib
import sys
import threading
from collections import Counter
from typing import Any

import pytest

from k2core.admission import Admission
from k2core.broker.specs import topic_spec
from k2core.degradation import DegradationSettings
from k2core.degradation.board import LevelBoard
from k2core.degradation.events import LEVELS_TOPIC, Announcer
from k2core.errors import FencedError, SinkError
from k2core.interfaces.sink import LogFacts
from k2core.records.builtin import LEVELS, TRADES
from k2core.writer.restoring import Restoring
from k2core.writer.runner import run_writer
from k2core.writer.shedding import Degradation

HERE = pathlib.Path(__file__).parent
TIERS = {"BTCUSDT": 1, "ETHUSDT": 2, "XRPUSDT": 3}
WANTED = {(symbol, str(i)) for symbol in TIERS for i in range(1, 31)}


def lake_module() -> Any:
    spec = importlib.util.spec_from_file_location("writer_lake_of_shedding", HERE / "writer_lake.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


M = lake_module()


class Pressed(M.Lake):
    """A lake whose writers see as much memory used as the test says."""

    share = 0.1

    def writer(self) -> Any:
        settings = DegradationSettings.model_validate({"tiers": TIERS, "look_s": 0.001, "down_s": 0, "pause_s": 0})
        announcer = Announcer(self.log.producer(), self.clock, "test", M.logging.getLogger("k2.write"))
        self._stack.callback(announcer.close)
        made = super().writer()
        parts = made.parts
        by = Degradation(
            settings=settings, memory=lambda: self.share,
            tell=lambda controller, change: announcer.tell("market.trades", controller, change),
        )  # fmt: skip
        return M.WriterPipeline(
            data_type=parts.data_type, topics=parts.topics, consumer=parts.consumer, producer=parts.producer,
            broker=parts.broker, sink_table=parts.table, dedup=parts.dedup, admission=parts.admission,
            settings=parts.settings, clock=parts.clock, metrics=parts.metrics, logger=parts.logger, owner="test",
            degradation=by,
        )  # fmt: skip

    def restoring(self) -> Restoring:
        producer = self.log.producer()
        self._stack.callback(producer.close)
        return Restoring(
            data_type=TRADES, broker=self.log, producer=producer, table=self.sink.table(TRADES),
            admission=Admission(TRADES, M.FACTS_BY_EXCHANGE), batch_records=7,
        )  # fmt: skip


@pytest.fixture
def lake(tmp_path: pathlib.Path) -> Any:
    with Pressed(tmp_path, commit_rows=1000, commit_interval_s=0.01, first_commit_s=0.01) as made:
        made.log.ensure_topics([topic_spec(LEVELS_TOPIC, LEVELS)])
        for symbol in TIERS:
            made.append(symbol, *range(1, 16))
        yield made


def more(lake: Any) -> None:
    for symbol in TIERS:
        lake.append(symbol, *range(16, 31))


def by_symbol(shed: Any) -> Counter[str]:
    return Counter({s: sum(dict(one.symbols).get(s, 0) for one in shed) for s in TIERS})


@pytest.mark.parametrize(("share", "gone"), [(0.85, {"XRPUSDT"}), (0.92, {"XRPUSDT", "ETHUSDT"})])
def test_a_level_sheds_its_tiers_by_name_and_the_rest_is_stored(lake: Any, share: float, gone: set[str]) -> None:
    lake.write_once()
    lake.share = share
    more(lake)
    assert lake.write_once().exit_code == 0
    shed = lake.sink.table(TRADES).head().shed
    assert by_symbol(shed) == Counter(dict.fromkeys(gone, 15))
    assert set(lake.stored()) == {(s, i) for s, i in WANTED if s not in gone or int(i) < 16}
    assert lake.metrics.value("k2_writer_records_total", outcome="shed") == 15 * len(gone)
    board = LevelBoard(lake.log, lake.clock, 30)
    board.look()
    assert board.levels["market.trades"].level.name == {0.85: "GRACEFUL", 0.92: "AGGRESSIVE"}[share]
    board.close()


def test_what_was_shed_comes_back_once_also_where_the_backfill_dies(lake: Any) -> None:
    lake.share = 0.92
    more(lake)
    lake.write_once()
    first = lake.restoring()
    for one in first.ranges():
        first.bring_back(one)  # and dies before it is stored and noted
    lake.share = 0.1
    lake.write_once()
    assert lake.sink.table(TRADES).head().shed, "nobody noted it"
    again = lake.restoring()
    done = [part for one in again.ranges() for part in again.bring_back(one)]
    assert not again.is_back(done, again.table.head())
    lake.write_once()
    head = again.table.head()
    assert again.is_back(done, head)
    assert again.note(done).shed == again.note(done).shed
    assert lake.restoring().ranges() == []
    assert {one.state for one in again.table.head().shed} == {"restored"}
    assert lake.stored() == Counter(dict.fromkeys(WANTED, 1))


def test_one_symbol_comes_back_alone_and_its_rows_say_where_from(lake: Any) -> None:
    lake.share = 0.92
    lake.write_once()
    lake.share = 0.1
    work = lake.restoring()
    done = [part for one in work.ranges(["XRPUSDT"]) for part in work.bring_back(one, ["XRPUSDT"])]
    lake.write_once()
    work.note(done)
    left = [one for one in work.table.head().shed if one.state == "shed"]
    assert by_symbol(left) == Counter({"ETHUSDT": 15})
    stored = lake.stored()
    assert {s for s, _ in stored} == {"BTCUSDT", "XRPUSDT"}
    assert max(stored.values()) == 1


def test_a_fenced_writers_shed_ranges_never_were(lake: Any) -> None:
    lake.share = 0.92
    old = lake.writer()
    old.start()
    while old.step(0):
        continue
    assert old._commits.waiting.shed_records == 30
    lake.share = 0.1
    lake.write_once()
    with pytest.raises(FencedError):  # it wakes up only now
        old.commit()
    assert lake.sink.table(TRADES).head().shed == ()
    assert set(lake.stored()) == {(s, i) for s, i in WANTED if int(i) < 16}


def test_a_commit_beside_and_compaction_keep_ranges(lake: Any) -> None:
    lake.share = 0.92
    lake.write_once()
    shed = lake.sink.table(TRADES).head().shed
    table = lake.sink.table(TRADES)
    table.maintain()
    assert table.head().shed == shed
    assert lake.sink.table(TRADES).restore([]).shed == shed


def test_a_sink_without_ranges_says_so() -> None:
    from k2core.interfaces.sink import SinkTable

    with pytest.raises(SinkError, match="keeps no shed ranges"):
        SinkTable.restore(object.__new__(type("Plain", (SinkTable,), dict.fromkeys(SinkTable.__abstractmethods__))), [])
    assert LogFacts().shed == ()


def test_reading_in_a_pause_loses_nothing(lake: Any) -> None:
    """CIRCUIT_BREAK by memory: a bounded batch a pause (here none long), and all of tier 1 in the end."""
    lake.share = 0.97
    more(lake)
    result = run_writer([lake.writer()], threading.Event(), once=True, clock=lake.clock)
    assert result.exit_code == 0
    shed = lake.sink.table(TRADES).head().shed
    assert by_symbol(shed) == Counter({"XRPUSDT": 30, "ETHUSDT": 30})
    assert set(lake.stored()) == {(s, i) for s, i in WANTED if s == "BTCUSDT"}
