"""One whole run of the main job, scraped by a real Prometheus, shared by the tests that look at it."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field

from tests.e2e.capture import Capture, wait_until
from tests.services.prometheus import Prometheus

KEY = "observed"
SETTINGS = """
[recording]
enabled = true
flush_s = 0.2

[maintenance]
interval_s = 1

[enrichers.notional]
"""
QUESTIONS = (
    "/v1/trades?limit=50",
    "/v1/quotes?limit=50",
    "/v1/trades?symbol=BTCUSDT&order=asc&limit=5",
    "/v1/ohlcv?symbol=BTCUSDT&interval=1m",
    "/v1/symbols",
    "/v1/stats",
    "/nowhere",
)
_VALUE = re.compile(r"^(k2_\w+)(?:\{[^}]*\})? ([-+0-9.e]+)$", re.MULTILINE)


def fetch(url: str, key: str = KEY, timeout: float = 60) -> tuple[int, str]:
    """Status and body of a GET, also of a refusal."""
    asked = urllib.request.Request(url, headers={"X-API-Key": key} if key else {})
    try:
        with urllib.request.urlopen(asked, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@dataclass
class Scraped:
    """The run.

    Args:
        world: The installation.
        prometheus: Scrapes it.
        pages: The last `/metrics` of each process.
        moved: Metrics that were seen with a value other than 0.
    """

    world: Capture
    prometheus: Prometheus
    pages: dict[str, str] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def targets(self) -> dict[str, str]:
        """Address of each process's port, from the target files."""
        files = (self.world.folder / "data" / "run" / "targets").glob("*.json")
        groups = [group for path in files for group in json.loads(path.read_text())]
        return {group["labels"]["process"]: group["targets"][0] for group in groups}

    def look(self) -> None:
        """Read every process's metrics."""
        for name, address in self.targets.items():
            status, self.pages[name] = fetch(f"http://{address}/metrics")
            assert status == 200
            for metric, value in _VALUE.findall(self.pages[name]):
                if float(value):
                    self.moved.add(re.sub(r"_(bucket|sum|count)$", "", metric))
                    self.moved.add(metric)

    def ask(self) -> None:
        """Put every question once."""
        for question in QUESTIONS:
            fetch(f"http://127.0.0.1:{self.world.port}{question}")

    def busy(self) -> list[threading.Thread]:
        """Ask from several threads until `end`."""
        threads = [threading.Thread(target=self._keep_asking, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        return threads

    def _keep_asking(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError):  # the run may end meanwhile
                self.ask()

    def end(self) -> None:
        """Ask no more."""
        self._stop.set()

    def until_moved(self, wanted: set[str]) -> None:
        """Look until all of these were seen to move."""

        def all_moved() -> bool:
            self.look()
            return not wanted - self.moved

        try:
            wait_until("every metric has moved", all_moved)
        except AssertionError as error:
            raise AssertionError(f"these never moved: {sorted(wanted - self.moved)}") from error


def targets_of(folder: pathlib.Path) -> str:
    """The glob of an installation's target files."""
    return str(folder / "data" / "run" / "targets" / "*.json")
