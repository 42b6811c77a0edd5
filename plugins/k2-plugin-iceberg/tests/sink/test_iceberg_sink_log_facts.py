"""What a commit says of the log is kept with the offsets: stamps until they move, ranges that are gone for ever."""

from __future__ import annotations

from typing import Any

from k2_plugin_iceberg.sink import IcebergSink
from k2_plugin_iceberg.source import IcebergSource

from k2core.plugin import Gone, LogFacts, Staged
from k2core.records.builtin import TRADES

TOPIC = "market.crypto.trades.binance"
ONE, TWO = (TOPIC, 1), (TOPIC, 2)
NOTHING = Staged(0, 0, [])


def test_a_stamp_stays_until_its_partition_moves(lake: Any) -> None:
    table = lake.table()
    owned = lake.own(table)
    head = table.commit(NOTHING, owned, {}, {ONE: 5, TWO: 7}, LogFacts(stamps={ONE: "a", TWO: "b"}))
    assert head.stamps == {ONE: "a", TWO: "b"}
    head = table.commit(NOTHING, owned, {ONE: 5, TWO: 7}, {ONE: 6, TWO: 7}, LogFacts(stamps={ONE: "c"}))
    assert head.stamps == {ONE: "c", TWO: "b"}
    head = table.commit(NOTHING, owned, {ONE: 6, TWO: 7}, {TWO: 8})
    assert head.stamps == {ONE: "c"}, "of record 8 nobody said anything"
    assert lake.table().head().stamps == {ONE: "c"}


def test_what_is_gone_is_told_for_ever_and_by_every_reader(lake: Any) -> None:
    table = lake.table()
    owned = lake.own(table)
    first, second = Gone(*ONE, 0, 5, 1_000), Gone(*TWO, 2, 9)
    table.commit(NOTHING, owned, {}, {ONE: 5}, LogFacts(gone=(first,), stamps={ONE: "a"}))
    head = table.commit(NOTHING, owned, {ONE: 5}, {TWO: 9}, LogFacts(gone=(second,)))
    assert head.gone == (first, second)
    for _ in range(3):
        lake.clock.move(3600)
        lake.tape.offsets = {**table.head().offsets}
        lake.ingest(table, owned, 50)
        table.maintain()
    assert lake.table().head().gone == (first, second)
    source = IcebergSource(lake.settings(), lake.context())
    snapshot = source.table(TRADES).newest()
    source.close()
    assert snapshot.gone == (first, second)
    assert snapshot.topic_ids == {TOPIC: "id-1"}
    assert snapshot.stamps == table.head().stamps


def test_a_catalog_is_known_to_be_there_without_being_made(lake: Any) -> None:
    source = IcebergSource(lake.settings(), lake.context())
    assert source.table(TRADES).newest().id is None
    assert not IcebergSink(lake.settings(), lake.context()).exists()
    assert not lake.root.exists()
    table = lake.table()
    assert IcebergSink(lake.settings(), lake.context()).exists()
    lake.ingest(table, lake.own(table), 10)
    assert source.table(TRADES).newest().id == table.head().snapshot_id, "it is looked for with every question"
    source.close()
