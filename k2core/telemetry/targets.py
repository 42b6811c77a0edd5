"""Target files: how Prometheus finds the ports of the processes of one machine, without any being configured.

Each process writes `run/targets/NAME-PID.json` in the format of `file_sd_configs` and removes it when it ends; the file
of one that was killed is removed by the next process that starts in the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
from pathlib import Path

import msgspec

_NAME = re.compile(r"(?P<name>[a-z0-9-]+)-(?P<pid>\d+)\.json")


class TargetFile:
    """One process's.

    Args:
        folder: The run folder.
        name: The process's, as its status file's.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder / "targets", name
        self._path = self._folder / f"{name}-{os.getpid()}.json"

    def write(self, address: str) -> None:
        """Name the port.

        Args:
            address: `host:port`.

        Raises:
            OSError: The folder cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:  # two that start at once must not take one instance's name
            fcntl.flock(lock, fcntl.LOCK_EX)
            forget_dead(self._folder)
            labels = {"process": self._name, "instance": f"{self._place()}/{self._instance()}"}
            fresh = self._path.with_suffix(".tmp")
            fresh.write_bytes(msgspec.json.encode([{"targets": [address], "labels": labels}]))
            fresh.replace(self._path)

    def remove(self) -> None:
        """The port is gone."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _place(self) -> str:
        """The machine, and a run folder that is not the usual one: a second writer's, with a `write` of its own."""
        folder = self._folder.resolve().parent.name
        return socket.gethostname() + ("" if folder == "run" else f"/{folder}")

    def _instance(self) -> str:
        """The same through restarts: the name, and where several processes of it run, a number."""
        beside = [p for p in self._folder.glob(f"{self._name}-*.json") if p != self._path]
        taken = {labels["instance"].rpartition("/")[2] for p in beside for labels in _labels(p)}
        numbered = (f"{self._name}-{number}" for number in range(2, len(taken) + 3))
        return next(one for one in (self._name, *numbered) if one not in taken)


def _labels(path: Path) -> list[dict[str, str]]:
    try:
        return [group["labels"] for group in msgspec.json.decode(path.read_bytes())]
    except (OSError, msgspec.MsgspecError):
        return []  # removed or replaced this very moment


def forget_dead(folder: Path) -> None:
    """Remove the files of processes that are no more."""
    for path in folder.glob("*.json"):
        if (found := _NAME.fullmatch(path.name)) and not _lives(int(found["pid"])):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
