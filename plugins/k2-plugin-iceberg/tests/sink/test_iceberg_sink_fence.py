"""Two writers, lost replies, foreign programs: who may land what."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import schema_to_pyarrow
from sqlalchemy.exc import OperationalError

from k2core.plugin import CommitConflictError, CommitUnknownError, FencedError, SinkError

TOPIC = "market.crypto.trades.binance"


def test_takeover_between_check_and_swap_makes_the_swap_fail(lake: Any) -> None:
    first, second = lake.table(), lake.table()
    old = lake.own(first, "old:1")
    catalog = first._state._catalog

    class TakesOver:
        def location(self, table: Any) -> Any:
            return catalog.location(table)

        def swap(self, table: Any, before: str, after: str) -> bool:
            first._state._catalog = catalog
            lake.own(second, "new:2")  # a property alone: main does not move
            return bool(catalog.swap(table, before, after))

    first._state._catalog = TakesOver()
    with pytest.raises(FencedError, match="new:2"):
        lake.ingest(first, old, 100)
    assert lake.read().num_rows == 0
    assert not list((lake.root / "market.trades" / "metadata").glob("snap-*"))


def test_who_takes_more_does_not_take_back_what_is_lost_meanwhile(lake: Any) -> None:
    """The old token is looked for in the very step that writes the new one."""
    first, second = lake.table(), lake.table()
    mine, more = frozenset({(TOPIC, 3)}), frozenset({(TOPIC, 5)})
    old = first.take_over(mine, {TOPIC: "id-1"}, "old:1")
    swap, newer = first._state.swap, []

    def meanwhile(*given: Any, **changes: Any) -> Any:
        if not newer:
            newer.append(second.take_over(mine, {TOPIC: "id-1"}, "new:2"))
        return swap(*given, **changes)

    first._state.swap = meanwhile
    with pytest.raises(FencedError, match="new:2"):
        first.take_more(old, more, {TOPIC: "id-1"}, "old:1")
    second.check_owned(newer[0])


def test_part_of_the_partitions_can_be_taken(lake: Any) -> None:
    first, second = lake.table(), lake.table()
    old = lake.own(first, "old:1")
    second.take_over(frozenset({(TOPIC, 3), (TOPIC, 5)}), {TOPIC: "id-1"}, "new:2")
    with pytest.raises(FencedError) as caught:
        lake.ingest(first, old, 100)
    assert caught.value.partitions == {(TOPIC, 3), (TOPIC, 5)}
    assert "leave" in str(caught.value).lower()


class Flaky:
    """A catalog that loses replies: after the swap, before it, or altogether."""

    def __init__(self, catalog: Any, lands: bool, times: int = 1, dead: bool = False) -> None:
        self.catalog, self.lands, self.times, self.dead, self.lost = catalog, lands, times, dead, 0

    def location(self, table: Any) -> Any:
        if self.dead and self.lost:
            raise OperationalError("select", {}, Exception("no route"))
        return self.catalog.location(table)

    def swap(self, table: Any, old: str, new: str) -> bool:
        if self.lost >= self.times:
            return bool(self.catalog.swap(table, old, new))
        self.lost += 1
        if self.lands:
            assert self.catalog.swap(table, old, new)
        raise OperationalError("update", {}, Exception("database is locked"))


@pytest.mark.parametrize("lands", [True, False])
def test_lost_reply_stores_rows_once(lake: Any, same_rows: Any, lands: bool) -> None:
    table = lake.table()
    owned = lake.own(table)
    parts = [lake.ingest(table, owned, 100)]
    table._state._catalog = Flaky(table._state._catalog, lands)
    parts.append(lake.ingest(table, owned, 100))
    assert table.head().offsets == lake.tape.offsets
    same_rows(lake.read(), *parts)
    table._state._catalog = Flaky(table._state._catalog, lands)
    assert lake.own(table).token != owned.token


def test_dead_catalog_is_an_unknown_outcome(lake: Any) -> None:
    table = lake.table(commit_attempts=3)
    owned = lake.own(table)
    table._state._catalog = Flaky(table._state._catalog, lands=True, dead=True)
    with pytest.raises(CommitUnknownError, match="compare offsets"):
        lake.ingest(table, owned, 100)
    assert lake.table().head().offsets == lake.tape.offsets  # it had landed


def test_rollback_rewinds_offsets_with_the_rows_and_leaves_tokens(lake: Any, same_rows: Any) -> None:
    table = lake.table()
    owned = lake.own(table)
    kept = lake.ingest(table, owned, 100)
    before, snapshot = dict(lake.tape.offsets), table.head().snapshot_id
    lake.ingest(table, owned, 100)
    catalog = SqlCatalog("k2", uri=f"sqlite:///{lake.root}/catalog.db")
    catalog.load_table("market.trades").manage_snapshots().rollback_to_snapshot(snapshot).commit()
    catalog.close()
    assert table.head().offsets == before
    with pytest.raises(CommitConflictError):  # its positions are ahead of the table now
        lake.ingest(table, owned, 10)
    lake.tape.offsets = dict(before)
    again = lake.ingest(table, owned, 50)
    same_rows(lake.read(), kept, again)


def test_foreign_append_is_named_and_foreign_rewrite_inherits(lake: Any) -> None:
    table = lake.table()
    owned = lake.own(table)
    rows = lake.ingest(table, owned, 100)
    catalog = SqlCatalog("k2", uri=f"sqlite:///{lake.root}/catalog.db")
    foreign = catalog.load_table("market.trades")
    foreign.delete("trade_id = 'nobody has this'")
    foreign.delete(f"log_offset = 0 and symbol = '{rows['symbol'][0]}'")
    first = lake.table().head()
    assert first.offsets == lake.tape.offsets  # rows went away, none came in
    foreign = catalog.load_table("market.trades")
    foreign.append(pa.table(rows.slice(0, 5).cast(schema_to_pyarrow(foreign.schema()))))
    catalog.close()
    with pytest.raises(SinkError, match=r"without k2\.offsets"):
        table.head()
    with pytest.raises(SinkError, match="Roll main back"):
        lake.ingest(table, owned, 10)


def test_stale_append_by_pyiceberg_does_not_land_twice(lake: Any) -> None:
    """pyiceberg's own retry re-parents a stale append; the table's properties forbid it."""
    table = lake.table()
    owned = lake.own(table)
    rows = lake.ingest(table, owned, 100)
    catalog = SqlCatalog("k2", uri=f"sqlite:///{lake.root}/catalog.db")
    stale = catalog.load_table("market.trades")
    lake.ingest(table, owned, 100)
    from pyiceberg.exceptions import CommitFailedException

    with pytest.raises(CommitFailedException):
        stale.append(pa.table(rows.cast(schema_to_pyarrow(stale.schema()))))
    catalog.close()
    assert lake.read().num_rows == 200


def test_a_token_that_is_gone_is_not_ours(lake: Any) -> None:
    table = lake.table()
    owned = lake.own(table, "old:1")
    catalog = SqlCatalog("k2", uri=f"sqlite:///{lake.root}/catalog.db", warehouse=str(lake.root))
    foreign = catalog.load_table("market.trades")  # as after an older catalog.db was put back under a live writer
    with foreign.transaction() as change:
        change.remove_properties(*[name for name in foreign.properties if name.startswith("k2.owner.")])
    catalog.close()
    with pytest.raises(FencedError):
        lake.ingest(table, owned, 10)
    with pytest.raises(FencedError):
        table.check_owned(owned)


def test_claims_of_writers_that_are_gone_do_not_pile_up(lake: Any) -> None:
    table = lake.table()
    for number in range(30):
        lake.own(table, f"writer:{number}")
        part = frozenset({(TOPIC, number % 16), (TOPIC, (number + 1) % 16)})
        table.take_over(part, {TOPIC: "id-1"}, f"part:{number}")
        claims = json.loads(table._state.read().metadata.properties[f"k2.owner.{TOPIC}"])
        assert {c["by"] for c in claims.values()} == {f"writer:{number}", f"part:{number}"}
        held = sorted(p for c in claims.values() for p in c["partitions"])
        assert held == list(range(16)), "every partition has one owner"
