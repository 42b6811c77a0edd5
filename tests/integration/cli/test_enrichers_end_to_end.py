"""Enrichers from settings to answer: hot and cold rows agree, before, with and after one; a bad one costs its values."""

from __future__ import annotations

import pathlib
from typing import Any

from tests.integration.cli.import_shop import HEAD, TRADES, Shop, trades

NOTIONAL = '\n[enrichers.notional]\nexchanges = {asx = "AUD"}\n'
PICKY = '''
"""An enricher that cannot bear one price."""
from __future__ import annotations
from collections.abc import Iterable
import pyarrow as pa
from k2core.plugin import Column, Component, Context, Enricher, Settings, hookimpl

class Picky(Enricher):
    data_type = "trades"
    columns = (Column("tenth", "double", True),)
    def enrich(self, rows):
        if 45.13 in rows["price"].to_pylist():
            raise ValueError("not 45.13")
        return {"tenth": pa.array([p / 10 for p in rows["price"].to_pylist()])}

@hookimpl
def k2_enrichers() -> Iterable[Component[Enricher]]:
    return [Component(name="picky", summary="x", settings=Settings, factory=lambda s, c: Picky())]
'''
Row = dict[str, Any]


def test_a_column_comes_goes_and_comes_back(tmp_path: pathlib.Path) -> None:
    shop = Shop(tmp_path)
    shop.bring(shop.file("t.csv", [HEAD, *trades(0, 30)]))
    shop.write()
    shop.settings(TRADES + NOTIONAL)
    assert_values(shop.rows(), enriched=set())  # stored before: null, though the table has no such column yet
    shop.bring(shop.file("t.csv", [HEAD, *trades(0, 60)]))
    hot = shop.rows()
    assert_values(hot, enriched=set(range(31, 61)))
    shop.write()
    assert shop.rows() == hot, "the row that was seen hot is the row that is stored"
    stamp = str(max(r["log_timestamp"] for r in hot))
    shop.settings(TRADES)
    assert "notional" not in shop.rows()[0]
    shop.bring(shop.file("t.csv", [HEAD, *trades(0, 70)]))
    shop.write()
    assert len(shop.rows()) == 70
    shop.settings(TRADES + NOTIONAL + "active = false\n")
    assert_values(shop.rows(), enriched=set(range(31, 61)))
    assert shop.rows("trades", "--as-of", stamp) == hot
    shop.bring(shop.file("t.csv", [HEAD, *trades(0, 80)]))
    assert_values(shop.rows(), enriched=set(range(31, 61)))


def number(row: Row) -> int:
    return int(row["trade_id"][1:].partition("-")[0])


def assert_values(rows: list[Row], enriched: set[int]) -> None:
    for row in rows:
        known = number(row) in enriched
        wanted = (row["price"] * row["quantity"], "AUD") if known else (None, None)
        assert (row["notional"], row["quote_currency"]) == wanted, row


def test_one_that_raises_costs_its_rows_their_values_and_nothing_else(tmp_path: pathlib.Path) -> None:
    shop = Shop(tmp_path, TRADES + NOTIONAL + "[enrichers.picky]\n")
    (tmp_path / "picky.py").write_text(PICKY)
    shop.k2("--plugin", "picky.py", "import", shop.file("t.csv", [HEAD, *trades(0, 100)]))
    hot = shop.rows("trades", "--plugin", "picky.py")
    shop.k2("--plugin", "picky.py", "write", "--once")
    assert shop.rows("trades", "--plugin", "picky.py") == hot
    assert len(hot) == 100
    assert {r["price"] for r in hot if r["tenth"] is None} == {45.13}
    assert all(r["notional"] is not None for r in hot)
    told = (tmp_path / "data/run/write.json").read_text()
    assert "k2_enricher_failures_total" in told
    assert '["enricher","picky"]' in told


def test_two_of_one_column_are_an_error_at_start(tmp_path: pathlib.Path) -> None:
    shop = Shop(tmp_path, TRADES + NOTIONAL + '[enrichers.again]\nuse = "notional"\n')
    for command in (["write", "--once"], ["query", "trades"], ["config", "check"]):
        assert "belongs to enrichers.notional already" in shop.k2(*command, code=2)
    shop.bring(shop.file("t.csv", [HEAD, *trades(0, 3)]))  # what is captured does not wait for enrichers
