"""k2's own commands as processes on a folder, and the sender that feeds them."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, Self

from benchmarks.watch import KEY
from k2core.cli.demo_exchange import free_port, toml

COMPILED = pathlib.Path(tempfile.gettempdir()) / "k2-bench-compiled"
"""Byte code, as an installer leaves it: without, every start would compile a million lines first."""


def environment() -> dict[str, str]:
    """Variables of the children."""
    path = os.pathsep.join(p for p in (os.getcwd(), os.environ.get("PYTHONPATH")) if p)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "K2_API_KEY": KEY, "PYTHONPATH": path, "PYTHONPYCACHEPREFIX": str(COMPILED)}


class Sender:
    """`benchmarks.sender` in its own process."""

    def __init__(self, rate: int, seconds: float, *, quotes: bool) -> None:
        command = [sys.executable, "-m", "benchmarks.sender", "--rate", str(rate), "--seconds", str(seconds)]
        self.data_types = ["trades", "quotes"] if quotes else ["trades"]
        self._process = subprocess.Popen(
            command + (["--quotes"] if quotes else []), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment(),
        )  # fmt: skip
        self.settings = self._line()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def wait_started(self) -> None:
        """Return when the first frame goes out."""
        self._line()

    def wait_sent(self) -> dict[str, Any]:
        """Wait for the end: `sent`, `seconds`, `cpu_s` and `ids` by stream, first and next."""
        return self._line()

    def stop(self) -> dict[str, Any]:
        """End now."""
        assert self._process.stdin
        self._process.stdin.close()
        return self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the sender ended")
        found: dict[str, Any] = json.loads(line)
        return found


class Installation:
    """A folder with a `k2.toml` that points at a sender; `extra` stands in it besides."""

    def __init__(self, folder: pathlib.Path, sender: Sender, extra: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, free_port()
        connector = {**sender.settings, "data_types": sender.data_types}
        lines = ["[connectors.binance]", *(f"{key} = {toml(value)}" for key, value in connector.items())]
        lines += ["", "[api]", f"port = {self.port}", extra]
        (folder / "k2.toml").write_text("\n".join(lines))
        if "[broker]" in extra:
            self.done("topics", "apply")

    def said(self, name: str) -> pathlib.Path:
        """What a command printed, by its own name or the one it was given."""
        return self.folder / f"{name}.err"

    def done(self, *arguments: str) -> None:
        """Run a command to its end."""
        command = [sys.executable, "-m", "k2core.cli.main", *arguments]
        subprocess.run(command, cwd=self.folder, env=environment(), check=True, capture_output=True, timeout=120)

    @contextlib.contextmanager
    def run(self, *arguments: str, name: str = "") -> Iterator[subprocess.Popen[bytes]]:
        """Run a command; it is told to stop at the end, and waited for. With a `name`, in a run folder of its own."""
        command = [sys.executable, "-m", "k2core.cli.main", *arguments]
        own = {"K2_RUN__PATH": f"data/run-{name}", "K2_RUN__LOG_FORMAT": "json"} if name else {}
        output = self.said(name or arguments[0])
        with output.open("wb") as said:
            process = subprocess.Popen(command, cwd=self.folder, stderr=said, stdout=said, env=environment() | own)
        try:
            yield process
        except BaseException:
            print(output.read_text(errors="replace")[-3000:], file=sys.stderr)
            raise
        finally:
            stop(process)

    def status(self, name: str) -> dict[str, Any]:
        """What a process says of itself; empty where it said nothing yet."""
        with contextlib.suppress(FileNotFoundError):
            found: dict[str, Any] = json.loads((self.folder / "data" / "run" / f"{name}.json").read_bytes())
            return found
        return {}

    def stored(self) -> Any:
        """Symbol and sequence number of every stored trade, read with pyiceberg alone."""
        from pyiceberg.catalog.sql import SqlCatalog

        warehouse = self.folder / "data" / "warehouse"
        catalog = SqlCatalog("k2", uri=f"sqlite:///{warehouse / 'catalog.db'}", warehouse=str(warehouse))
        try:
            return catalog.load_table("market.trades").scan(selected_fields=("symbol", "sequence_num")).to_arrow()
        finally:
            catalog.close()


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and wait."""
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
