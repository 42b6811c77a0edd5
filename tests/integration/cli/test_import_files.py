"""`k2 import` from file to answer: equities trades and quotes without ids, FX ticks, killed half-way, again, grown."""

from __future__ import annotations

import pathlib
import signal
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq

from tests.integration.cli.import_shop import ENV, HEAD, K2, QUOTES, TICKS, TRADES, Shop, trades


def test_a_file_is_stored_once_whatever_its_name_and_however_often(tmp_path: pathlib.Path) -> None:
    shop = Shop(tmp_path)
    lines = [HEAD, *trades(0, 300)]
    wrong = [HEAD, *trades(0, 100), "CBA,31/02/2026,10:00:00.0,1,1,", *trades(100, 300)]
    (done,) = shop.bring(shop.file("day.csv", wrong))
    assert (done["rows"], done["known"], done["appended"], done["dead_letters"]) == (301, 0, 300, 1)
    assert [(d["origin"], d["reason"]) for d in shop.dead()] == [("day.csv/101", "bad-time")]
    hot = shop.rows()
    shop.write()
    assert shop.rows() == hot, "what was answered from the log is what is stored"
    assert {(r["source"], r["topic"]) for r in hot} == {("import", "market.equities.trades.asx")}
    assert sorted(r["price"] for r in hot) == sorted((4500 + n % 50) / 100 for n in range(300))
    (again,) = shop.bring(shop.file("renamed.csv", wrong))
    assert (again["known"], again["appended"], again["dead_letters"]) == (301, 0, 0)
    (grown,) = shop.bring(shop.file("grown.csv", [*wrong, *trades(300, 310)]))
    assert (grown["known"], grown["appended"]) == (301, 10)
    for mark in (tmp_path / "data/run/imports").iterdir():
        mark.unlink()
    (forgotten,) = shop.bring("grown.csv")
    assert (forgotten["known"], forgotten["appended"], forgotten["dead_letters"]) == (0, 310, 1)
    shop.write()
    assert len(shop.rows()) == 310, "without marks everything comes again, and is dropped as known"
    (other,) = shop.bring(shop.file("other.csv", lines))
    assert other["known"] == 0, "without the broken row it is another file from row 101 on"


def test_killed_anywhere_and_started_again_nothing_is_lost_or_doubled(tmp_path: pathlib.Path) -> None:
    shop = Shop(tmp_path, TRADES + "block_bytes = 4096\n")
    name, marks = shop.file("big.csv", [HEAD, *trades(0, 30_000)]), tmp_path / "data/run/imports"
    for _ in range(2):
        before = marked(marks)
        running = subprocess.Popen([*K2, "import", name], cwd=tmp_path, env=ENV, stderr=subprocess.DEVNULL)
        while running.poll() is None and marked(marks) == before:
            signal.sigtimedwait([], 0.01)
        running.send_signal(signal.SIGKILL)
        assert running.wait(120) == -signal.SIGKILL, "it was done before it could be killed: make the file longer"
        shop.write()
    (done,) = shop.bring(name)
    assert 0 < done["known"] < 30_000
    assert done["known"] + done["appended"] == 30_000
    shop.write()
    rows = shop.rows("trades", "--fields", "symbol,trade_id,price")
    assert len(rows) == len({r["trade_id"] for r in rows}) == 30_000
    assert sorted(int(r["trade_id"][1:].partition("-")[0]) for r in rows) == list(range(1, 30_001))


def marked(folder: pathlib.Path) -> str:
    return "".join(p.read_text() for p in folder.glob("*.json"))


def test_quotes_and_ticks_go_the_same_way(tmp_path: pathlib.Path) -> None:
    shop = Shop(tmp_path, QUOTES + TICKS)
    quotes = [f"BHP,2026-02-02T10:00:0{n % 10}.{n:03d},45.{n:02d},{n + 1},45.{n + 1:02d},7" for n in range(50)]
    quotes.append("BHP,2026-02-02T16:10:00.000,,,45.99,3")
    file = shop.file("q.csv", ["Code,Stamp,Bid,BidVol,Ask,AskVol", *quotes])
    assert shop.bring(file, "--as", "asx-quotes")[0]["topic"] == "market.equities.quotes.asx"
    start = 1_769_986_800_000
    pq.write_table(pa.table({
        "pair": ["EUR/USD", "USD/JPY"] * 40, "ts": [start + n for n in range(80)],
        "mid": [1.07125, 154.3] * 40, "bid": [1.0712, None] * 40, "ask": [1.0713, 154.31] * 40,
    }), tmp_path / "fx.parquet")  # fmt: skip
    (ticks,) = shop.bring("fx.parquet", "--as", "fx")
    assert (ticks["topic"], ticks["appended"]) == ("market.fx.ticks.ecn", 80)
    hot = shop.rows("quotes"), shop.rows("ticks")
    shop.write()
    assert (shop.rows("quotes"), shop.rows("ticks")) == hot
    assert [len(rows) for rows in hot] == [51, 80]
    last = next(r for r in hot[0] if r["ask_price"] == 45.99)
    assert (last["bid_price"], last["timestamp_source"], last["exchange_timestamp_ms"]) == (
        0.0,
        "exchange",
        start + 22_200_000,
    )
    assert {(r["symbol"], r["price"], r["bid_price"], r["price_kind"]) for r in hot[1]} == {
        ("EUR/USD", 1.07125, 1.0712, "mid"), ("USD/JPY", 154.3, None, "mid"),
    }  # fmt: skip
    assert [len(shop.rows("ticks", "--symbol", s)) for s in ("EUR/USD", "USD/JPY")] == [40, 40]


def test_settings_can_come_from_the_command_line_alone(tmp_path: pathlib.Path) -> None:
    shop = Shop(tmp_path, "")
    file = shop.file("t.csv", ["s,t,p,q", "X,2026-02-02T10:00:00Z,1.5,2"])
    given = [
        "exchange=asx",
        "asset_class=equities",
        "data_type=trades",
        'columns={"symbol": "s", "price": "p", "quantity": "q"}',
    ]
    (done,) = shop.bring(file, *(part for text in [*given, "time.columns=t"] for part in ("--set", text)))
    assert (done["topic"], done["appended"]) == ("market.equities.trades.asx", 1)


def test_mistakes_are_told_and_nothing_is_appended(tmp_path: pathlib.Path) -> None:
    shop = Shop(tmp_path, TRADES + QUOTES)
    file = shop.file("t.csv", [HEAD, *trades(0, 5)])
    assert "--as NAME" in shop.k2("import", file, code=2)
    assert "did you mean" in shop.k2("import", file, "--as", "asx-trades", "--set", "exchnage=asx", code=2)
    assert "there is no section [imports.nothing]" in shop.k2("import", file, "--as", "nothing", code=2)
    assert "no such file" in shop.k2("import", "none.csv", "--as", "asx-trades", code=2)
    assert "wanted KEY=VALUE" in shop.k2("import", file, "--as", "asx-trades", "--set", "exchange", code=2)
    told = shop.k2(
        "import", file, "--as", "asx-trades", "--set", "exchange=binance", "--set", "asset_class=crypto", code=2
    )
    assert "contiguous ids: name the column" in told
    assert shop.rows() == []
    shop.settings(TRADES.replace("symbol =", "sumbol ="))
    assert "columns.sumbol: is unknown" in shop.k2("config", "check", code=2)
