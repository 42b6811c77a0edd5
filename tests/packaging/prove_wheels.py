"""Builds every distribution through its sdist and proves that they work where only wheels are.

Run by `nox -s wheels`; prints what it proves, exits non-zero where it cannot.
"""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from places import AT_ONCE, CLEAN, PLUGINS, Clean, build, expect, run, version

WANTED = 200
LIMIT_S = 180.0


def captured(place: Clean, folder: pathlib.Path) -> int:
    """Records that `k2 ingest` took from `k2 exchange binance` until there were enough of them."""
    folder.mkdir()
    exchange = subprocess.Popen(
        [place.k2, "exchange", "binance", "--trades", "200"], cwd=folder, env=CLEAN, stdout=subprocess.PIPE, text=True
    )
    with exchange, open(folder / "k2.toml", "w") as settings:
        assert exchange.stdout
        for line in exchange.stdout:
            settings.write(line)
            if line.startswith("time_unit"):
                break
        settings.close()
        with subprocess.Popen([place.k2, "ingest"], cwd=folder, env=CLEAN) as ingest:
            deadline = time.monotonic() + LIMIT_S
            while records(folder) < WANTED and time.monotonic() < deadline and ingest.poll() is None:
                time.sleep(0.1)
            ingest.send_signal(signal.SIGTERM)
        exchange.send_signal(signal.SIGINT)
    expect("exchange and ingest stopped when told to", exchange.returncode == ingest.returncode == 0)
    return records(folder)


def records(folder: pathlib.Path) -> int:
    """What ingest says of itself."""
    status = folder / "data" / "run" / "ingest.json"
    values = json.loads(status.read_text())["values"] if status.exists() else []
    return int(sum(value for name, _, value in values if name == "k2_ingest_records_total"))


def prove_core(wheels: dict[str, pathlib.Path], out: pathlib.Path) -> Clean:
    place = Clean(out / "clean")
    place.install(wheels["k2core"])
    alone = place.plugins()
    own = ("broker", "embedded") in alone and not any(text.split()[0] != "k2core" for text in alone.values())
    expect("core alone installs and lists its own", own)
    (place.home / "k2.toml").write_text('[connectors.binance]\nsymbols = ["BTCUSDT"]\n')
    said = run(place.k2, "up", cwd=place.home, code=3)
    expect("core alone says what is missing", "try `pip install k2-plugin-binance`" in said)
    return place


def prove_binance(place: Clean, wheels: dict[str, pathlib.Path], out: pathlib.Path) -> None:
    place.install(wheels["k2-plugin-binance"])
    shown = place.plugins().get(("connector", "binance"), "")
    expect(f"the Binance plugin is there once installed: {shown}", shown == f"k2-plugin-binance {version()} ok")
    where = run(place.python, "-I", "-c", "import k2_plugin_binance as p; print(p.__file__)", cwd=out)
    expect("it is imported from the wheel", str(place.home) in where)
    taken = captured(place, out / "capture")
    expect(f"it captures from the local exchange: {taken} records are in the log", taken >= WANTED)
    place.remove("k2-plugin-binance")
    expect("removed, it is gone", not any("binance" in text for text in place.plugins().values()))


def prove_each(wheels: dict[str, pathlib.Path], out: pathlib.Path) -> None:
    """Each plugin alone with core: what it offers works, and it needs nothing that it does not declare."""

    def prove(name: str) -> None:
        place = Clean(out / "alone" / name)
        place.install(wheels["k2core"], wheels[name])
        place.import_all(name.replace("-", "_"))
        shown = [f"{kind} {one}" for (kind, one), text in place.plugins().items() if text == f"{name} {version()} ok"]
        expect(f"{name} works alone with core: {', '.join(shown)}", bool(shown))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(prove, (path.name for path in PLUGINS)))


def prove_demo(wheels: dict[str, pathlib.Path], out: pathlib.Path) -> None:
    """All of them together, on wheels alone: from the local exchange to the answer."""
    place = Clean(out / "all")
    place.install(*wheels.values())
    states = {text.split()[-1] for text in place.plugins().values()}
    expect("all of them live together", states == {"ok"})
    proof = json.loads(run(place.k2, "demo", "--once", cwd=out).splitlines()[-1])
    expect(f"the demo proves itself on wheels: {proof['trades_stored']} trades", proof["ok"] and proof["missing"] == 0)


def main() -> None:
    out = pathlib.Path(sys.argv[1])
    wheels = build(out / "dist")
    expect(f"{len(wheels)} wheels were built through their sdists", len(wheels) == 1 + len(PLUGINS))
    place = prove_core(wheels, out)
    prove_binance(place, wheels, out)
    prove_each(wheels, out)
    prove_demo(wheels, out)


if __name__ == "__main__":
    main()
