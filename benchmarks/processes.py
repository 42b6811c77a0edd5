"""Real processes over real sockets: 30,000 trades a second into the table, and fresh answers at 1,000 frames a second.

Every figure is taken from outside of the processes, except freshness, which `k2 serve` tells itself.
"""

from __future__ import annotations

import contextlib
import functools
import pathlib
import tempfile
import time
from typing import Any

from benchmarks.installed import Installation, Sender
from benchmarks.measure import Row
from benchmarks.real import broker_settings
from benchmarks.watch import Watched, asked_regularly, p50_p99, wait_answered, wait_until

RATE, LIGHT_RATE = 30_000, 1000
ASKED = [f"/v1/trades?symbol={symbol}&limit=100" for symbol in ("BTCUSDT", "ETHUSDT", "SYM005USDT")]
METRIC, STORED = "k2_writer_records_total", {("data_type", "trades"), ("outcome", "stored")}
MEMORY_MB = {"ingest": 200, "write": 400, "serve": 500}
FRESH_MS = {"embedded": (20, 100), "kafka": (30, 250)}
"""p50 and p99 from received to visible, at most."""


def sockets(work: pathlib.Path, seconds: float) -> list[Row]:
    """Sockets → log → table."""
    with contextlib.ExitStack() as stack:
        sender = stack.enter_context(Sender(RATE, seconds, quotes=False))
        place = Installation(work / "sockets", sender)
        write = stack.enter_context(place.run("write"))
        wait_until(lambda: place.status("write").get("state") == "running", 60)
        ingest = stack.enter_context(place.run("ingest"))
        sender.wait_started()
        watched = stack.enter_context(Watched({"ingest": ingest.pid, "write": write.pid}))
        before = watched.cpu()
        sent = sender.wait_sent()
        late = wait_until(lambda: _committed(place.status("write")) >= sent["sent"], 60)
        after = watched.cpu()
    each = {name: 1e6 * (after[name] - before[name]) / sent["sent"] for name in after}
    lost = _lost(place.stored(), sent["ids"])
    total, growth = sum(each.values()), max(watched.growth(name) for name in after)
    rate, label = sent["sent"] / sent["seconds"], f"sockets → table, {RATE:,} trades a second, {seconds:g} s"
    memory = {f"{name} MB": watched.memory(name) for name in after}
    notes = {"sent/s": rate, "sender µs": 1e6 * sent["cpu_s"] / sent["sent"], "stored after s": late, **each}
    return [
        Row(f"{label}: CPU of ingest + write", total, "µs a trade", must="≤ 13", holds=total <= 13, notes=notes),
        Row(f"{label}: lost, doubled or foreign", lost, "trades", must="0", holds=lost == 0),
        Row(f"{label}: memory, end ÷ middle", growth, "×", must="≤ 1.1", holds=growth <= 1.1, notes=memory),
    ]


def _committed(status: dict[str, Any]) -> float:
    return _value(status, METRIC, STORED)


def _value(status: dict[str, Any], metric: str, wanted: set[tuple[str, str]]) -> float:
    values = status.get("values", [])
    return sum(value for name, labels, value in values if name == metric and {tuple(x) for x in labels} >= wanted)


def _lost(stored: Any, ids: dict[str, list[int]]) -> int:
    """Trades that are missing, there twice, or were never sent."""
    import numpy as np

    symbols, numbers = stored["symbol"].to_numpy(), stored["sequence_num"].to_numpy()
    wrong = 0
    for stream, (first, following) in ids.items():
        own = np.sort(numbers[symbols == stream.split("@")[0].upper()])
        if len(own) != following - first or not (own == np.arange(first, following)).all():
            wrong += max(1, len(np.setdiff1d(np.arange(first, following), own)) + len(own) - len(np.unique(own)))
    return wrong + max(0, len(numbers) - sum(b - a for a, b in ids.values()))


def full_tail(work: pathlib.Path, minutes: float) -> list[Row]:
    """What `k2 serve` takes with as many records in its tail as 15 minutes at 1,000 a second bring, sent faster."""
    rows = int(minutes * 60 * LIGHT_RATE)
    with contextlib.ExitStack() as stack:
        sender = stack.enter_context(Sender(RATE // 2, rows / (RATE // 2), quotes=False))
        place = Installation(work / "tail", sender)
        stack.enter_context(place.run("serve"))
        wait_answered(place.port, ASKED[0], 60)
        with place.run("ingest"), place.run("write"):
            sender.wait_started()
            sent = sender.wait_sent()["sent"]
            wait_until(lambda: _committed(place.status("write")) >= sent, 120)
        with Watched({"serve": place.status("serve")["pid"]}) as watched:
            taken, _ = asked_regularly(place.port, ASKED, 20, 5)
        held = _value(place.status("serve"), "k2_serve_tail_rows", {("data_type", "trades")})
    used, label = watched.memory("serve"), f"k2 serve, tail of {held:,.0f} records"
    return [
        Row(f"{label}: held of those sent", held / sent, "", must="≥ 0.99", holds=held >= 0.99 * sent),
        Row(f"{label}: memory", used, "MB", must=f"≤ {MEMORY_MB['serve']}", holds=used <= MEMORY_MB["serve"]),
        *_latency(f"{label}: GET newest 100", p50_p99(taken), (15, 60), {}),
    ]


@functools.cache
def light(seconds: float, broker: str = "embedded") -> dict[str, list[Row]]:
    """Cases `start`, `http` and `freshness`, which share a run: `k2 up`, 1,000 frames and 20 requests a second."""
    _compile()
    seconds = max(seconds, 24.0)  # serve tells of the newest 10,000 records: those of the start are to be gone
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="k2-bench-")))
        extra = stack.enter_context(broker_settings(broker, work / "services"))
        sender = stack.enter_context(Sender(LIGHT_RATE, 100_000, quotes=True))
        place = Installation(work, sender, extra)
        with place.run("up"):
            started = wait_answered(place.port, ASKED[0], 60)
            sender.wait_started()
            pids = {name: place.status(name)["pid"] for name in MEMORY_MB}
            with Watched(pids) as watched:
                time.sleep(min(3.0, seconds / 3))
                before, began = watched.cpu(), time.monotonic()
                taken, ages = asked_regularly(place.port, ASKED, 20, seconds)
                share = {n: 100 * (cpu - before[n]) / (time.monotonic() - began) for n, cpu in watched.cpu().items()}
                told = place.status("serve")["facts"]["freshness"]["trades"]
            sender.stop()
    over = "" if broker == "embedded" else f" over {broker.title()}"
    return {
        "start": _started(started, watched, int(seconds * LIGHT_RATE)),
        "http": _latency(f"GET newest 100 of a symbol, 20 a second{over}", p50_p99(taken), (15, 60), share),
        "freshness": [
            *_latency(f"received → visible to queries{over}", (told["p50_ms"], told["p99_ms"]), FRESH_MS[broker], {}),
            Row(
                f"received → read over HTTP, newest row{over}", p50_p99(ages)[0], "ms", notes={"p99": p50_p99(ages)[1]}
            ),
        ],
    }


def _compile() -> None:
    """One start before the one that counts: what an installer would have compiled."""
    with Sender(100, 100, quotes=True) as sender, tempfile.TemporaryDirectory(prefix="k2-bench-") as folder:
        place = Installation(pathlib.Path(folder), sender)
        with place.run("up"):
            wait_answered(place.port, ASKED[0], 60)


def _latency(path: str, found: tuple[float, float], most: tuple[float, float], cpu: dict[str, float]) -> list[Row]:
    p50, p99 = found
    notes = {"p99": p99, **{f"{name} CPU %": value for name, value in cpu.items()}}
    must = f"p50 ≤ {most[0]:g}, p99 ≤ {most[1]:g}"
    return [Row(path, p50, "ms", must=must, holds=p50 <= most[0] and p99 <= most[1], notes=notes)]


def _started(seconds: float, watched: Watched, rows: int) -> list[Row]:
    found = [Row("k2 up → first answer", seconds, "s", must="≤ 5", holds=seconds <= 5)]
    for name, most in MEMORY_MB.items():
        used = watched.memory(name)
        found.append(
            Row(f"memory of k2 {name}, tail of {rows:,} records", used, "MB", must=f"≤ {most}", holds=used <= most)
        )
    return found
