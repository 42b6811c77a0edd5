"""`k2 up` starts nothing where a child would fail at once: exit code 2, and one line that says what to do."""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
import sys

import pytest

from k2core.cli.preflight import RunLock

THREE_LINES = (
    '[connectors.binance]\nsymbols = ["BTCUSDT"]\nwebsocket_url = "ws://127.0.0.1:9"\nrest_url = "http://127.0.0.1:9"\n'
)


def k2(folder: pathlib.Path, *arguments: str) -> tuple[int, str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("K2_")}
    done = subprocess.run(
        [sys.executable, "-m", "k2core.cli.main", *arguments],
        cwd=folder, env=clean, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def refused(folder: pathlib.Path, settings: str, *arguments: str) -> str:
    (folder / "k2.toml").write_text(settings)
    code, out, err = k2(folder, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    return err


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_nothing_to_capture(tmp_path: pathlib.Path) -> None:
    assert "nothing to capture: add [connectors.binance]" in refused(tmp_path, "", "up")


def test_wrong_settings(tmp_path: pathlib.Path) -> None:
    assert "did you mean 'symbols'?" in refused(tmp_path, THREE_LINES + 'symbol = ["A"]\n', "up")


def test_a_taken_port(tmp_path: pathlib.Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        err = refused(tmp_path, THREE_LINES, "up", "--port", str(number))
    assert f"port {number} on 127.0.0.1 is taken" in err


def test_a_second_one_on_the_same_data(tmp_path: pathlib.Path, port: int) -> None:
    with RunLock(tmp_path / "data" / "run"):
        err = refused(tmp_path, THREE_LINES, "up", "--port", str(port))
    assert f"another `k2 up` (pid {os.getpid()}) runs on" in err


def test_a_folder_that_cannot_be_written(tmp_path: pathlib.Path, port: int) -> None:
    (tmp_path / "in the way").write_text("")
    settings = THREE_LINES + '[sinks.lake]\nwarehouse = "in the way/warehouse"\n'
    assert "set sinks.lake.warehouse to another place" in refused(tmp_path, settings, "up", "--port", str(port))


def test_a_missing_plugin_is_3(tmp_path: pathlib.Path) -> None:
    (tmp_path / "k2.toml").write_text('[connectors.nowhere]\nsymbols = ["A"]\n')
    code, _, err = k2(tmp_path, "up")
    assert code == 3
    assert "try `pip install k2-plugin-nowhere`" in err


def test_nothing_is_left_running_or_lying_around(tmp_path: pathlib.Path) -> None:
    refused(tmp_path, "", "up")
    assert not list((tmp_path / "data" / "run").glob("*.json"))
