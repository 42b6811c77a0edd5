"""The same worlds on real Iceberg tables: what sink and source store and read is what the model does."""

from __future__ import annotations

import logging
import random

import pyarrow as pa
import pytest
from k2_plugin_iceberg.settings import IcebergSettings
from k2_plugin_iceberg.sink import IcebergSink
from k2_plugin_iceberg.source import IcebergSource

from k2core.component import Context
from k2core.query.answer import RowsRequest
from k2core.records.builtin import TRADES
from k2core.telemetry.metrics import Metrics

WORLDS, STEPS = 3, 60


class Lake:
    """Sink and source of one table behind the few verbs that a world uses; the rest is the source's."""

    def __init__(self, folder, world):
        settings = IcebergSettings(warehouse=folder, slice_settle_s=0)
        context = Context(clock=world.clock, logger=logging.getLogger("k2.test"), metrics=Metrics())
        self.sink, self.source = IcebergSink(settings, context), IcebergSource(settings, context)
        self.rows, self.read, self.owned = self.sink.table(TRADES), self.source.table(TRADES), None

    def __getattr__(self, name):
        return getattr(self.read, name)

    def commit(self, rows, offsets):
        expect = {p: self.rows.head().offsets.get(p, 0) for p in offsets}
        owned = self.rows.take_over(frozenset(offsets), {p[0]: f"{p[0]}-1" for p in offsets}, "a test")
        table = pa.Table.from_pylist(rows, TRADES.table_schema)
        self.rows.commit(self.rows.stage(table), owned, expect, offsets)

    def compact(self):
        self.rows.maintain()

    def close(self):
        self.source.close()
        self.sink.close()


@pytest.fixture
def lake_world(busy_world, tmp_path):
    opened = []

    class OnIceberg(busy_world):
        def __init__(self, kind, folder):
            super().__init__(kind)
            self.table = Lake(folder, self)
            opened.append(self.table)
            self.servers = [self.serve(), self.serve()]

        def some_trouble(self, g):
            if g.random() < 0.5:
                self.compact_or_not()
            else:
                self.servers[g.randrange(2)] = self.serve()

        def compact_or_not(self):
            if self.table.newest().id is not None:
                self.table.compact()

    yield lambda kind, name: OnIceberg(kind, tmp_path / name)
    for lake in opened:
        lake.close()


def test_answers_mean_what_they_say_on_iceberg(lake_world):
    for seed in range(WORLDS):
        g = random.Random(seed)
        world = lake_world(("contiguous", "opaque", "increasing")[seed % 3], str(seed))
        moves = [world.some_append] * 8 + [world.some_commit] * 2 + [world.some_advance] * 5 + [world.some_query] * 4
        moves += [world.some_page] * 3 + [world.some_time] * 3 + [world.some_trouble] + [world.some_as_of]
        for _ in range(STEPS):
            g.choice(moves)(g)
        world.commit(1000)
        for server in (0, 1):
            world.advance(server, 1000)
            world.check(server, 3)
            world.check(server, descending=False)


def test_bars_symbols_and_snapshots_on_iceberg(lake_world):
    world = lake_world("contiguous", "bars")
    for number in range(60):
        world.append("BTCUSDT", number, late_ms=number * 37 % 500)
        world.clock.advance(0.05)
    world.advance(0, 1000)
    service = world.servers[0]
    whole, counted = service.ohlcv(RowsRequest(), 1000).rows, service.symbols("trades", RowsRequest()).rows
    world.commit(25)
    old = world.table.newest()
    world.commit(15)
    world.advance(0, 1000)
    assert service.symbols("trades", RowsRequest()).rows.equals(counted)
    again = service.ohlcv(RowsRequest(), 1000)
    assert again.explain["cold_rows"] > 0
    assert again.rows.drop_columns(["volume", "notional", "vwap"]).equals(
        whole.drop_columns(["volume", "notional", "vwap"])
    )
    assert again.rows.column("volume").to_pylist() == pytest.approx(whole.column("volume").to_pylist())
    answer = world.page(0, snapshot_id=old.id)
    assert world.keys(answer) == world.define(old.offsets)[::-1]


def test_new_ids_are_not_looked_up_however_old_the_table_is(lake_world):
    world = lake_world("contiguous", "old")
    for number in range(30):
        world.append("BTCUSDT", number)
    world.commit(30)
    world.clock.advance(600)
    world.servers[0] = world.serve()
    world.append("BTCUSDT", 30)
    world.advance(0, 10)
    follower = world.servers[0].tails["trades"].follower
    assert not follower._asked_table
    world.append("BTCUSDT", 3)
    world.advance(0, 10)
    assert follower._asked_table
    world.check(0)
