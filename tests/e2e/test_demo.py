"""The demo, as a user runs it: ends by itself, and its last line is true."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest


@pytest.mark.parametrize("exchange", ["binance", "kraken"])
def test_the_demo_ends_with_one_json_line_that_holds(exchange: str, tmp_path: pathlib.Path) -> None:
    asked = ["demo", "--exchange", exchange, "--once", "--keep", str(tmp_path / "kept")]
    done = subprocess.run(
        [sys.executable, "-m", "k2core.cli.main", *asked],
        capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert f"[connectors.{exchange}]" in done.stderr
    assert done.returncode == 0, done.stderr[-4000:]
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["trades_issued"] >= 10_000
    assert last["trades_stored"] == last["trades_issued"]
    assert last["quotes_stored"] > 10_000
    assert (last["duplicates_stored"], last["missing"]) == (0, 0)
    assert last["dead_letters"] >= 1
    assert last["commits"] >= 2
    assert 0 < last["api_p50_ms"] < 10_000
    assert 0 < last["freshness_p99_ms"] < 60_000
    assert (tmp_path / "kept" / "data" / "warehouse" / "market.trades" / "metadata").is_dir()
