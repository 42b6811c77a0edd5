"""`k2 demo`: see the whole of k2 work, without a network: a local exchange, `k2 up` on it, a tour, and the proof.

Everything is told on stderr; the last line on stdout is one JSON object. The exit code is 1 unless everything that the
exchange sent is in the tables exactly once.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import click

from k2core.cli.child import Child, ChildSpec
from k2core.cli.demo_degradation import degradation
from k2core.cli.demo_exchange import ExchangeThread, free_port, write_settings
from k2core.cli.demo_run import Run, interrupted, make_exchange, result, wait_until
from k2core.cli.demo_tour import Api, FreshnessProbe, show
from k2core.cli.session import Session, current
from k2core.cli.terminal import print_json
from k2core.cli.view import FIGURES, View
from k2core.errors import ConfigError, K2Error
from k2core.telemetry.status import read_statuses

ERROR = "error: "
ASKED = " INFO    k2.query "
"""In a line of `k2 serve` about one query. The demo itself asks, hundreds of times."""
COMMITTED = " INFO    k2.write committed "
"""In a line of `k2 write` about one commit."""
READY_S, TAPE_S, COMMITTED_S = 120.0, 600.0, 120.0


@click.group(invoke_without_command=True)
@click.option("--once", is_flag=True, help="End after the tour; so it does where there is no terminal.")
@click.option("--exchange", default="binance", show_default=True, help="Whose protocol the local exchange speaks.")
@click.option("--seed", type=int, help="The same seed gives the same tape.")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Keep the data here; an empty folder.")
@click.pass_context
def demo(context: click.Context, once: bool, exchange: str, seed: int | None, keep: Path | None) -> int:
    """See it work, without a network: a local exchange, k2 up, a tour, the proof."""
    if context.invoked_subcommand is not None:
        return 0
    once = once or not sys.stderr.isatty()
    with folder_of(keep) as folder, interrupted() as stopped:
        run = start(current(), folder, exchange, seed)
        with run.stack:
            found = play(run, once, stopped)
        run.view.clear()
        proved = result(run, found)
    print_json(proved)
    if proved["ok"]:
        click.echo("proved: everything that was sent is in the tables exactly once", err=True)
        return 0
    click.echo(f"NOT PROVED: {proved['why']}", err=True)
    return 1


@contextmanager
def folder_of(keep: Path | None) -> Iterator[Path]:
    """The folder of the demo's data: the given one, which must be empty, or a temporary one."""
    if keep is None:
        folder = Path(tempfile.mkdtemp(prefix="k2-demo-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    if keep.is_dir() and any(keep.iterdir()):
        raise ConfigError(f"--keep {keep} is not empty: the demo needs a folder of its own")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.absolute()


def start(session: Session, folder: Path, exchange: str, seed: int | None) -> Run:
    """Start the exchange, write the settings, start `k2 up`."""
    channels = session.registry.find("connector", exchange).component.capabilities.channels
    data_types = {name: session.registry.find("data-type", name).component for name in channels}
    session.registry.find("sink", "iceberg")
    stack = ExitStack()
    with stack:  # closed here only where something below fails
        local = stack.enter_context(ExchangeThread(make_exchange(session.registry, exchange, seed)))
        settings, port, key = local.settings(), free_port(), secrets.token_urlsafe(18)
        file = write_settings(folder, exchange, settings, port)
        view = View(session.clock)
        plugins = [part for path in session.plugin_files for part in ("--plugin", str(path.absolute()))]
        command = [sys.executable, "-m", "k2core.cli.main", "--config", str(file), *plugins, "up"]
        child = Child(ChildSpec(name="up", command=command, env={"K2_API_KEY": key}), relay=partial(relay, view))
        child.start(session.clock.monotonic())
        stack.callback(stop, child)
        view.say(f"k2 demo: a local {exchange} on {settings.get('websocket_url', 'loopback')}, data in {folder}")
        return Run(
            session=session, folder=folder, exchange=local, exchange_name=exchange, data_types=data_types,
            child=child, view=view, api=Api(port, key), symbol=next(iter(settings.get("symbols", ["BTCUSDT"]))),
            stack=stack.pop_all(),
        )  # fmt: skip


def relay(view: View, line: str) -> None:
    """Pass on what `k2 up` says, but for figures and commits, which the demo shows itself, and the demo's own queries."""
    if not line.startswith(FIGURES) and ASKED not in line and COMMITTED not in line:
        view.say(line)


def play(run: Run, once: bool, stopped: list[int]) -> dict[str, float | None]:
    """Play the tape, wait until it is committed, show around; interactive: go on until Ctrl-C."""
    wait_until("the API answers", run.is_ready, READY_S, run, stopped)
    began = time.monotonic()
    probe = FreshnessProbe(run.api, run.symbol)
    probe.start()
    run.view.say("k2 demo: playing the tape: bursts, duplicates, a malformed frame")
    tape = run.exchange.play()
    wait_until("the tape is played", tape.done, TAPE_S, run, stopped)
    if tape.done():
        tape.result()
    probe.stop()
    wait_until("all of it is committed", run.is_committed, COMMITTED_S, run, stopped)
    run.view.clear()
    ago_s = max(1, min(60, int((time.monotonic() - began) / 2)))
    p50_ms = show(run.api, run.symbol, run.warehouse, ago_s, run.view.say)
    run.api.close()
    name, symbol = run.exchange_name, run.symbol
    run.view.say(f'\nNext: put `[connectors.{name}]` with `symbols = ["{symbol}"]` into k2.toml and type `k2 up`;')
    run.view.say(f"`k2 query trades --symbol {symbol}`, `k2 plugins`, `k2 config show`, `k2 doctor`.\n")
    if not once:
        run.view.say("It goes on serving; Ctrl-C ends it.")
        wait_until("Ctrl-C", lambda: False, float("inf"), run, stopped)
    return {"api_p50_ms": p50_ms, **freshness(run, probe)}


def freshness(run: Run, probe: FreshnessProbe) -> dict[str, float | None]:
    """Frame received → visible: as serve measured it on the newest trades, and as our questions over HTTP saw it."""
    serve = read_statuses(run.folder / "data" / "run").get("serve")
    own = serve.facts.get("freshness", {}).get("trades", {}) if serve else {}
    asked = {f"asked_p{share}_ms": probe.found.percentile(share / 100) for share in (50, 99)}
    found = {f"p{share}_ms": own.get(f"p{share}_ms", asked[f"asked_p{share}_ms"]) for share in (50, 99)}
    return {f"freshness_{name}": value for name, value in (found | asked).items()}


def stop(child: Child) -> None:
    """Let `k2 up` drain, within its own limit and a little more."""
    child.signal(signal.SIGTERM)
    if child.process is not None:
        deadline = time.monotonic() + 30
        while child.alive and time.monotonic() < deadline:
            time.sleep(0.02)
        child.signal(signal.SIGKILL)
        code = child.reap()
        if code not in (0, -signal.SIGKILL, -signal.SIGTERM):  # SIGTERM: it had not even begun
            raise K2Error(f"k2 {child.name} failed: {child.last_line.removeprefix(ERROR) or f'exit code {code}'}")


demo.add_command(degradation)
