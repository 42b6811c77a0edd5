"""What has to hold before processes are started, or before anybody can trust this installation.

`k2 up` refuses to start where one of these fails, with one line that says what to do; `k2 doctor` reports them all.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from k2core.config import Config
from k2core.discovery import Registry
from k2core.errors import ConfigError

if TYPE_CHECKING:
    from k2core.config.build import Assembly


@dataclass(frozen=True, slots=True)
class DataPath:
    """A path that settings name: which setting, and where it leads."""

    setting: str
    path: Path


def data_paths(config: Config, registry: Registry) -> Iterator[DataPath]:
    """Every path in the settings that k2 writes to.

    Raises:
        K2Error: A component's settings are wrong.
    """
    yield DataPath("run.path", config.run.path)
    yield DataPath("api.keys_file", config.api.keys_file)
    for section in (config.broker, config.dedup, *config.sinks):
        settings = config.settings(section, registry)[1]
        for name, field in type(settings).model_fields.items():
            extra, value = field.json_schema_extra, getattr(settings, name)
            if isinstance(extra, dict) and extra.get("path") and value is not None and "://" not in str(value):
                yield DataPath(".".join((*section.path, name)), Path(value))


def check_writable(place: DataPath) -> None:
    """Prove that files can be made where a path leads, by making one in the nearest folder that exists.

    Raises:
        ConfigError: They cannot.
    """
    folder = _nearest(place.path)
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".k2-"):
            return
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        do = f"set {place.setting} to a place on a disk" if _is_no_disk(folder) else (
            f"make it writable, or set {place.setting} to another place"
        )  # fmt: skip
        raise ConfigError(f"cannot write to {folder} ({why}): {do}") from error


def nearest_folder(path: Path) -> Path:
    """The nearest folder that exists, at a path or above it."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def mending(place: DataPath) -> str:
    """The command that lets files be made where a path leads, or what to set where none can."""
    there = _nearest(place.path)
    another = f"set {place.setting} in k2.toml to another folder"
    if there.exists() and not there.is_dir():
        return f"mv {shlex.quote(str(there))} {shlex.quote(str(there))}.old, or {another}"
    if _is_no_disk(there):
        return another
    own = there.stat().st_uid == os.getuid()
    command = "chmod u+rwx" if own else f"sudo chown {os.getuid()}"
    return f"{command} {shlex.quote(str(there))}, or {another}"


def _nearest(path: Path) -> Path:
    """What exists of a path: the folder that it would be made in, or a file that is in the way."""
    if path.is_dir():
        return path
    return next(one for one in path.parents if one.exists())


def _is_no_disk(folder: Path) -> bool:
    """Whether a folder is only shown by the kernel, as /proc and /sys: no file can be made there by anybody."""
    found = os.statvfs(folder)
    return found.f_blocks == 0


def check_port(host: str, port: int) -> None:
    """Prove that a port can be listened on; 0 always can.

    Raises:
        ConfigError: It cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"port {port} on {host} is taken: stop what listens there, or set api.port (`--port`) to another"
        else:
            text = (
                f"cannot listen on {host}:{port} ({(error.strerror or str(error)).lower()}): set api.host and api.port"
            )
        raise ConfigError(text) from error


def check_dedup(assembly: Assembly) -> None:
    """Make sure that a writer can begin: where it may not do without its dedup store, the store has to answer.

    Raises:
        DedupAwayError: It does not.
    """
    with assembly.dedup() as store:
        store.check()


class RunLock:
    """Held by the one `k2 up`, or `k2 ingest`, on a run folder; the kernel releases it with the process, however that ends.

    Args:
        folder: The run folder.
        command: `up` or `ingest`.
    """

    def __init__(self, folder: Path, command: str = "up") -> None:
        self._folder, self._path, self._command = folder, folder / f"{command}.lock", command
        self._file: int | None = None

    def __enter__(self) -> Self:
        """Take it.

        Raises:
            ConfigError: Another one has it, or the folder cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ConfigError(f"cannot write to {self._folder} ({why}): set run.path to another place") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._file, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise ConfigError(self._conflict(holder)) from error
        os.ftruncate(self._file, 0)
        os.write(self._file, f"{os.getpid()}\n".encode())
        return self

    def _conflict(self, holder: str) -> str:
        if self._command == "up":
            return (
                f"another `k2 up` (pid {holder}) runs on {self._folder}: stop it first, or give this one its own data"
            )
        return (
            f"another `k2 ingest` (pid {holder}) captures already (run folder {self._folder}), and a second one would only capture everything twice: stop it "
            "first; to capture other exchanges beside it, give this one settings with a run.path of its own"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)
