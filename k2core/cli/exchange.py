"""`k2 exchange`: a plugin's local exchange on this machine until Ctrl-C, so that `k2 up` works without the internet.

Its stdout is the settings that reach it: `k2 exchange binance > k2.toml`, and in another terminal `k2 up`.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from k2core.cli.demo_exchange import ExchangeThread, connector_lines
from k2core.cli.session import Session, current
from k2core.component import Context, Settings
from k2core.config.build import construct
from k2core.config.load import EnvText, Layers
from k2core.config.validate import validate
from k2core.discovery import Registry
from k2core.errors import ConfigError
from k2core.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from concurrent.futures import Future

    from k2core.testing.local import LocalExchange

LOOK_S = 0.1
COUNTED = 100_000
"""Trades of the longest tape whose records are counted at the end: each is read again for that, 20 µs."""


@click.command()
@click.argument("name", default="binance")
@click.option("--minutes", type=click.FloatRange(0.01, 1440), default=60, show_default=True, help="Length of the tape.")
@click.option("--trades", type=click.FloatRange(0, 10_000), default=10, show_default=True, help="Trades a second.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on; else a free one.")
@click.option("--set", "given", multiple=True, metavar="KEY=VALUE", help="A setting of the local exchange; may repeat.")
def exchange(name: str, minutes: float, trades: float, port: int, given: tuple[str, ...]) -> None:
    """Be the exchange NAME on this machine, until Ctrl-C: k2 up without the internet.

    It speaks the exchange's own protocol on loopback and plays a made-up tape. Stdout is the k2.toml that reaches it:
    k2 exchange binance > k2.toml, and in another terminal k2 up.
    """
    from k2core.cli.demo_run import interrupted

    tape = {"trades": round(trades * minutes * 60), "seconds": minutes * 60, "port": port}
    settings = read_settings(current().registry, name, tape, given)
    made = local_exchange(current().registry, name, settings)
    with interrupted() as stopped, ExchangeThread(made) as local:
        for line in connector_lines(name, local.settings()):
            click.echo(line)
        sys.stdout.flush()
        tell(f"a local {name}; stdout is the k2.toml that reaches it, for `k2 up` in another terminal; Ctrl-C ends it")
        serve(local, stopped)
        if tape["trades"] <= COUNTED:
            tell(f"sent {sent(local)}")
    tell("stopped")


def serve(local: ExchangeThread, stopped: list[int]) -> None:
    """Play until a signal comes. Where nobody has subscribed in time, go on waiting."""
    tape: Future[None] | None = local.play()
    while not stopped:
        if tape is not None and tape.done():
            waits = isinstance(error := tape.exception(), TimeoutError)
            if error is not None and not waits:
                raise error
            tape = local.play() if waits else None
            tell("nobody has subscribed so far; waiting" if waits else "the tape is played; it stays, and is silent")
        time.sleep(LOOK_S)


def sent(local: ExchangeThread) -> str:
    """How many records were sent so far, each counted once: as many have to be in the tables of who listened."""
    counts = {one: len(local.issued(one)) for one in local.settings().get("data_types", ())}
    return " and ".join(f"{count} {one}" for one, count in counts.items()) + ", each counted once"


def read_settings(registry: Registry, name: str, tape: Mapping[str, float], given: Sequence[str]) -> Settings:
    """The local exchange's settings: the tape's where it has those (as `TapeSettings` does), and those given.

    Raises:
        ConfigError: One is wrong.
    """
    entry = registry.find("local-exchange", name)
    fields = entry.component.settings.model_fields
    values = {key: EnvText(value) for key, value in tape.items() if key in fields}
    for text in given:
        key, found, value = text.partition("=")
        if not found:
            raise ConfigError(f"--set {text}: write it as KEY=VALUE, like --set trades=1000")
        values[key.strip()] = EnvText(value)
    path = ("exchange", name)
    layers = Layers(file=None, folder=Path.cwd(), tree={}, origins={path: "--set"})
    return validate(entry.component.settings, values, path, layers, entry.provenance)


def local_exchange(registry: Registry, name: str, settings: Settings) -> LocalExchange:
    """A plugin's local exchange.

    Raises:
        PluginError: No plugin offers it, or it cannot be made.
    """
    logger = logging.getLogger(f"k2.local-exchange.{name}")
    context = Context(clock=Session().clock, logger=logger, metrics=Metrics(), instance=name)
    made: LocalExchange = construct(registry.find("local-exchange", name), settings, context)
    return made


def tell(text: str) -> None:
    """Say something to people; stdout is for programs."""
    click.echo(f"k2 exchange: {text}", err=True)
