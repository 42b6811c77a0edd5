"""What the demo holds while it runs, what it waits for, and what it says at the end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from k2core.cli.child import Child
from k2core.cli.demo_exchange import ExchangeThread
from k2core.cli.demo_proof import Proof, prove, stored_rows
from k2core.cli.demo_tour import Api
from k2core.cli.dlq import letters
from k2core.cli.exchange import local_exchange
from k2core.cli.session import Session
from k2core.cli.topics import DEAD_LETTERS
from k2core.cli.view import View
from k2core.config import load_config
from k2core.config.build import Assembly
from k2core.discovery import Registry
from k2core.errors import K2Error
from k2core.records.data_type import DataType
from k2core.telemetry.status import read_statuses

if TYPE_CHECKING:
    from k2core.testing.local import LocalExchange

LOOK_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A running demo; `stack` stops `k2 up` and the exchange."""

    session: Session
    folder: Path
    exchange: ExchangeThread
    exchange_name: str
    data_types: dict[str, DataType]
    child: Child
    view: View
    api: Api
    symbol: str
    stack: ExitStack

    @property
    def warehouse(self) -> Path:
        """Where the tables lie."""
        return self.folder / "data" / "warehouse"

    def is_ready(self) -> bool:
        """Whether the API answers questions."""
        try:
            return self.api.get("/readyz").status == 200
        except OSError:
            return False

    def is_committed(self) -> bool:
        """Whether the tables hold as many rows as were sent."""
        wanted = sum(len(self.exchange.issued(name)) for name in self.data_types)
        return stored_rows(self.warehouse, [str(t.table) for t in self.data_types.values()]) >= wanted


def make_exchange(registry: Registry, name: str, seed: int | None) -> LocalExchange:
    """A plugin's local exchange.

    Raises:
        PluginError: No plugin offers it.
    """
    entry = registry.find("local-exchange", name)
    settings = entry.component.settings.model_validate({} if seed is None else {"seed": seed})
    return local_exchange(registry, name, settings)


def wait_until(what: str, holds: Callable[[], bool], limit_s: float, run: Run, stopped: list[int]) -> None:
    """Wait for something, showing the figures.

    Raises:
        K2Error: It did not come in time, or `k2 up` ended.
        KeyboardInterrupt: The user does not want to wait for it.
    """
    deadline = time.monotonic() + limit_s
    while not holds():
        if stopped:
            if limit_s == float("inf"):
                return
            raise KeyboardInterrupt
        if not run.child.alive:
            raise K2Error(f"k2 up ended before {what}: {run.child.last_line.removeprefix('error: ')}")
        if time.monotonic() > deadline:
            raise K2Error(f"it took more than {limit_s:g} s until {what}")
        run.view.tick(read_statuses(run.folder / "data" / "run"))
        time.sleep(LOOK_S)


@contextmanager
def interrupted() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of them; a second one raises KeyboardInterrupt."""
    got: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        got.append(number)
        if len(got) > 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield got
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def result(run: Run, measured: dict[str, float | None]) -> dict[str, Any]:
    """The last line: what was sent against what the tables hold, read with pyiceberg alone."""
    proofs = {n: prove(run.warehouse, t, run.exchange.issued(n)) for n, t in run.data_types.items()}
    found: dict[str, Any] = {}
    for name, proof in proofs.items():
        found |= {f"{name}_issued": proof.issued, f"{name}_stored": proof.stored}
    for field in ("duplicates", "missing", "foreign", "different", "commits"):
        total = sum(asdict(proof)[field] for proof in proofs.values())
        found["duplicates_stored" if field == "duplicates" else field] = total
    why = next((_why(proof) for proof in proofs.values() if not proof.holds), "")
    if not any(proof.issued for proof in proofs.values()):
        why = "the exchange sent nothing"
    return found | {"dead_letters": dead_letters(run)} | measured | {"ok": not why, "why": why}


def dead_letters(run: Run) -> int:
    """Dead letters in the demo's log."""
    config = load_config(run.folder / "k2.toml")
    assembly = Assembly(config, run.session.registry)
    with assembly.broker() as log:
        return sum(1 for _ in letters(log, assembly.data_types()[DEAD_LETTERS]))


def _why(proof: Proof) -> str:
    text = f"{proof.data_type}: {proof.issued} sent, {proof.stored} stored, {proof.missing} missing"
    text += f", {proof.duplicates} twice, {proof.foreign} never sent, {proof.different} different"
    return f"{text}: {proof.example}" if proof.example else text
