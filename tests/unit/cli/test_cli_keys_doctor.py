"""`k2 keys` and `k2 doctor`."""

from __future__ import annotations

import json
import pathlib
import socket
import stat

import pytest

from k2core.cli.main import run


@pytest.fixture(autouse=True)
def here(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("K2_API__PORT", str(free.getsockname()[1]))
    return tmp_path


def test_keys_are_made_listed_and_revoked(here: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "make", "bob"]) == 0
    key = capsys.readouterr().out.strip()
    file = here / "data" / "keys.json"
    assert key.startswith("k2_")
    assert key not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run(["keys", "make", "bob"]) == 2
    assert "there is a key 'bob' already" in capsys.readouterr().err
    assert run(["keys", "list", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["bob"]
    assert run(["keys", "revoke", "bob"]) == 0
    assert run(["keys", "revoke", "bob"]) == 2
    capsys.readouterr()
    assert run(["keys", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def findings(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, dict[str, object]]]:
    code = run(["doctor", "--json", *more])
    return code, {f["name"]: f for f in json.loads(capsys.readouterr().out)}


def test_doctor_finds_nothing_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = findings(capsys)
    assert [f for f in found.values() if not f["ok"]] == []
    assert code == 0
    assert {"python", "clock", "plugins", "settings", "port", "log", "tables", "path broker.path"} <= set(found)


def test_doctor_names_a_broken_plugin_and_what_mends_it(here: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "bad.py").write_text("raise RuntimeError('boom')")
    code, found = findings(capsys, "--plugin", "bad.py")
    assert code == 1
    assert "boom" in str(found["plugin bad.py"]["detail"])
    assert found["plugin bad.py"]["repair"]


def test_doctor_tells_wrong_settings(here: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "k2.toml").write_text('[connectors.nowhere]\nsymbols = ["A"]\n')
    code, found = findings(capsys)
    assert code == 1
    assert found["settings"]["repair"] == "pip install k2-plugin-nowhere"


def test_doctor_sees_a_taken_port(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("K2_API__PORT", str(port))
        code, found = findings(capsys)
    assert code == 1
    assert found["port"]["repair"] == f"k2 up --port {port + 1}"


def test_doctor_sees_a_file_in_the_way(here: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "data").write_text("")
    code, found = findings(capsys)
    assert code == 1
    assert not found["path run.path"]["ok"]
