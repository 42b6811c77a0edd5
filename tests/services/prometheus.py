"""A real Prometheus: of the system, else unpacked from the distribution's archive, which needs no rights."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.services.install import _installed
from tests.services.process import Service, UnavailableError


def tool(name: str) -> str:
    """`prometheus` or `promtool`.

    Raises:
        UnavailableError: It is not installed, and cannot be fetched.
    """
    return shutil.which(name) or str(_installed("prometheus", "debian", _fetch) / "usr" / "bin" / name)


def _fetch(folder: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise UnavailableError("prometheus is not installed: get it from prometheus.io, with promtool")
    asked = ["apt-get", "-qq", "download", "prometheus"]
    done = subprocess.run(asked, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    archives = list(folder.glob("prometheus_*.deb"))
    if not archives:
        raise UnavailableError(f"prometheus could not be fetched (apt-get update?): {done.stderr[-500:]}")
    subprocess.run(["dpkg-deb", "-x", archives[0].name, "."], cwd=folder, check=True, timeout=60)
    archives[0].unlink()


class Prometheus(Service):
    """Scrapes what target files name, every half second.

    Args:
        folder: Its data.
        targets: A glob of target files.
        rules: A file of rules.
    """

    def __init__(self, folder: Path, targets: str, rules: Path) -> None:
        super().__init__(folder)
        settings = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "400ms", "evaluation_interval": "500ms"},
            "rule_files": [str(rules)],
            "scrape_configs": [
                {"job_name": "k2", "file_sd_configs": [{"files": [targets], "refresh_interval": "500ms"}]}
            ],
        }
        (folder / "prometheus.yml").write_text(json.dumps(settings))  # JSON is YAML

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        """The server."""
        return [
            tool("prometheus"), f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}", f"--web.listen-address=127.0.0.1:{self.port}",
        ]  # fmt: skip

    def answers(self) -> bool:
        """Whether it is ready."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/-/ready", timeout=1) as answer:
            return bool(answer.status == 200)
        return False

    def query(self, text: str) -> list[dict[str, Any]]:
        """The series that an expression gives now."""
        found: list[dict[str, Any]] = self.ask("query", query=text)["result"]
        return found

    def ask(self, what: str, **arguments: str) -> dict[str, Any]:
        """A call of its HTTP API."""
        asked = urllib.parse.urlencode(arguments)
        with urllib.request.urlopen(f"{self.url}/api/v1/{what}?{asked}", timeout=60) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
        return data
