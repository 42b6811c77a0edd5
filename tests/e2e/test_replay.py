"""Raw frames kept beside the live capture make the same table again, and adding them to it adds nothing."""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import shutil
import signal
from typing import Any

import pyarrow as pa
from k2_plugin_binance.local import LocalBinance

from tests.e2e.capture import COLUMNS, Capture, capture, tape, wait_until
from tests.e2e.command import run_k2

RAW = '\n[recording]\nenabled = true\n\n[ingest]\nlinger_ms = 20\n\n[run]\nlog_level = "WARNING"\n'
TABLES = ("trades", "quotes")
OWN = {"topic", "log_partition", "log_offset", "log_timestamp", "source", "id_epoch"}
"""Columns that say where and how a row came in, not what it is."""

TRADE = b"""%d {"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","t":%d,"p":"1.5","q":"2.25","T":%d,"m":true}}
"""
QUOTE = b"""%d {"stream":"ethusdt@bookTicker","data":{"u":%d,"s":"ETHUSDT","b":"1.5","B":"3","a":"1.6","A":"4"}}
"""


def k2(world: Capture, *arguments: str, code: int = 0) -> str:
    """Run a command to its end; what it printed."""
    done = run_k2(world.settings, *arguments)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def captured(world: Capture) -> None:
    """Capture the whole tape live, and store it."""
    ingest = world.start("ingest")
    world.exchange.play().result(120)
    ingest.send_signal(signal.SIGTERM)
    assert ingest.wait(120) == 0, world.output("ingest")
    k2(world, "write", "--once")


def facts(table: pa.Table) -> list[dict[str, Any]]:
    """What the rows say of the market, in an order of their own."""
    kept = [name for name in table.column_names if name not in OWN]
    rows = table.select(kept).to_pylist()
    return sorted(rows, key=lambda row: json.dumps(row, default=str, sort_keys=True))


def test_a_table_made_again_from_raw_frames_is_the_one_captured_live(tmp_path: pathlib.Path) -> None:
    with capture(tmp_path, tape(recordings=None, trades=2000, seconds=2), RAW) as world:
        captured(world)
        live = {name: world.rows(name) for name in TABLES}
        dead = json.loads(k2(world, "dlq", "--json"))
        k2(world, "replay", "data/raw")
        k2(world, "write", "--once")
        assert {name: world.rows(name).num_rows for name in TABLES} == {n: t.num_rows for n, t in live.items()}
        shutil.move(world.folder / "data" / "raw", world.folder / "kept")
        shutil.rmtree(world.folder / "data")
        k2(world, "replay", "kept")
        k2(world, "write", "--once")
        for name in TABLES:
            again = world.rows(name)
            assert world.verdict(name).ok
            assert live[name].num_rows > 1000
            assert facts(again) == facts(live[name])
            assert set(again["source"].to_pylist()) == {"replay"}
        assert [d["payload"] for d in json.loads(k2(world, "dlq", "--json"))] == [d["payload"] for d in dead]
        assert len(dead) == 2


def test_a_recording_is_played_through_the_exchanges_protocol_to_the_unchanged_connector(
    tmp_path: pathlib.Path,
) -> None:
    with capture(tmp_path, tape(recordings=None, trades=1500, seconds=2), RAW) as world:
        captured(world)
        live = {name: world.rows(name) for name in TABLES}
        shutil.move(world.folder / "data" / "raw", world.folder / "kept")
        shutil.rmtree(world.folder / "data")
        playing = world.start("replay", "kept", "--serve", "--speed", "0")
        wait_until("settings", lambda: "[connectors.binance]" in world.output("replay"), alive=playing)
        printed = [line for line in world.output("replay").splitlines() if not line.startswith("k2 ")]
        own = world.settings.read_text().partition("[recording]")[0].partition("[api]")[2]
        world.settings.write_text("\n".join(printed) + f"\n[api]{own}")
        ingest = world.start("ingest")
        wait_until("the end", lambda: "the tape is played" in world.output("replay"), alive=playing)
        ingest.send_signal(signal.SIGTERM)
        assert ingest.wait(120) == 0, world.output("ingest")
        k2(world, "write", "--once")
        trades = world.rows("trades")
        assert {name: world.rows(name).num_rows for name in TABLES} == {n: t.num_rows for n, t in live.items()}
        timeless = [c for c in trades.column_names if c != "received_timestamp_us"]
        assert facts(trades.select(timeless)) == facts(live["trades"].select(timeless))
        playing.send_signal(signal.SIGINT)
        assert playing.wait(120) == 0, world.output("replay")


def test_record_alone_needs_no_log_and_a_damaged_file_is_named(tmp_path: pathlib.Path) -> None:
    with capture(tmp_path, tape(recordings=None, trades=500, seconds=1)) as world:
        recording = world.start("record", "--out", "elsewhere")
        world.exchange.play().result(120)
        recording.send_signal(signal.SIGINT)
        assert recording.wait(120) == 0, world.output("record")
        assert not (world.folder / "data" / "log.db").exists()
        report = json.loads(k2(world, "replay", "elsewhere", "--check", "--json"))
        local = world.exchange.local
        assert isinstance(local, LocalBinance)
        sent = sum(local.counts.values())
        assert [(one["state"], one["exchange"], one["frames"]) for one in report] == [("whole", "binance", sent)]
        file = pathlib.Path(report[0]["file"])
        raw = bytearray((world.folder / file).read_bytes())
        raw[len(raw) // 2] ^= 1
        (world.folder / file).write_bytes(raw)
        assert "damaged" in k2(world, "replay", "elsewhere", "--check", code=1)
        assert str(file.name) in k2(world, "replay", "elsewhere", code=1)


def lines(folder: pathlib.Path) -> pathlib.Path:
    """Recordings as others keep them: those of `K2_RECORDINGS`, else a generated tape in the same form."""
    if named := os.environ.get("K2_RECORDINGS"):
        return pathlib.Path(named)
    rows = b"".join(TRADE % (n, n, n) + QUOTE % (n, n) for n in range(1_723_161_254_000, 1_723_161_265_000))
    (folder / "others.gz").write_bytes(gzip.compress(rows + b'9 {"lastUpdateId":1,"bids":[],"asks":[]}\n'))
    return folder / "others.gz"


def test_recordings_of_others_are_replayed_as_they_are(tmp_path: pathlib.Path) -> None:
    with capture(tmp_path, tape(recordings=None)) as world:
        source = str(lines(tmp_path))
        assert "add --exchange" in k2(world, "replay", source, code=2)
        k2(world, "replay", source, "--exchange", "binance", "--skip-unknown")
        k2(world, "write", "--once")
        assert json.loads(k2(world, "dlq", "--json")) == []
        for name in TABLES:
            stored = world.rows(name).select(list(COLUMNS[name]))
            assert stored.num_rows > 10_000
            assert set(stored["exchange"].to_pylist()) == {"binance"}
