"""The demo, as a user runs it: ends by itself, and its last line is true."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest


@pytest.mark.parametrize("exchange", ["binance", "kraken"])
def test_the_demo_ends_with_one_json_line_that_holds(exchange: str, tmp_path: pathlib.Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("K2_")}
    clean["K2_QUERY__SLOW_S"] = "60"  # on a busy machine one of them may be slow, and then it is told of
    asked = ["demo", "--exchange", exchange, "--once", "--seed", "11", "--keep", str(tmp_path / "kept")]
    done = subprocess.run(
        [sys.executable, "-m", "k2core.cli.main", *asked],
        cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"[connectors.{exchange}]" in done.stderr
    assert "curl -H 'X-API-Key:" in done.stderr
    assert "query route=" not in done.stderr, "the demo's own questions bury what it shows"
    (line,) = done.stdout.splitlines()
    last = json.loads(line)
    assert last["ok"] is True
    assert last["trades_issued"] == last["trades_stored"] >= 10_000
    assert last["quotes_issued"] == last["quotes_stored"] > 10_000
    assert [last[k] for k in ("duplicates_stored", "missing", "foreign", "different")] == [0, 0, 0, 0]
    assert last["dead_letters"] == 1
    assert last["commits"] >= 2
    assert 0 < last["api_p50_ms"] < 10_000
    assert 0 < last["freshness_p99_ms"] < 60_000
    assert (tmp_path / "kept" / "data" / "warehouse" / "market.trades" / "metadata").is_dir()
