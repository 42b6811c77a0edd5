"""What `k2 up` looks for before it starts anything; each failure is one line that says what to do."""

from __future__ import annotations

import pathlib
import socket

import pytest

from k2core.cli.preflight import DataPath, RunLock, check_port, check_writable
from k2core.errors import ConfigError


def test_a_taken_port_is_named(tmp_path: pathlib.Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port} on 127\.0\.0\.1 is taken: stop what listens"):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)
    check_port("127.0.0.1", 0)


def test_an_address_of_somebody_else_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1:0 .*: set api\.host"):
        check_port("192.0.2.1", 0)


def test_the_run_lock_is_held_once(tmp_path: pathlib.Path) -> None:
    import os

    with (
        RunLock(tmp_path / "run"),
        pytest.raises(ConfigError, match=rf"another `k2 up` \(pid {os.getpid()}\) runs on"),
        RunLock(tmp_path / "run"),
    ):
        raise AssertionError("taken twice")
    with RunLock(tmp_path / "run"):
        assert (tmp_path / "run" / "up.lock").read_text() == f"{os.getpid()}\n"


def test_a_file_in_the_way_is_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write to .*data .*set broker\.path to another place"):
        check_writable(DataPath("broker.path", tmp_path / "data" / "log.db"))
    with pytest.raises(ConfigError, match=r"cannot write to .*set run\.path"), RunLock(tmp_path / "data" / "run"):
        raise AssertionError("entered")
    check_writable(DataPath("broker.path", tmp_path / "new" / "deep" / "log.db"))
    assert [p.name for p in tmp_path.iterdir()] == ["data"]
