"""The live line, and what a session hands to another process."""

from __future__ import annotations

import pathlib

import pytest

from k2core.cli.session import Session
from k2core.cli.supervise import Ending
from k2core.cli.up import last_line, specs
from k2core.cli.view import View
from k2core.clock import SystemClock
from k2core.telemetry.metrics import Metrics
from k2core.telemetry.status import Status, StatusFile


def test_plain_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    view = View(SystemClock())
    view.tick({"ingest": Status("ingest", 1, 2, "running")})
    view.tick({"ingest": Status("ingest", 1, 2, "running")})
    view.say("something")
    view.clear()
    err = capsys.readouterr().err
    assert err.count("captured 0") == 1
    assert err.endswith("something\n")
    assert "\x1b" not in err


@pytest.fixture
def session(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.chdir(tmp_path)
    pathlib.Path("k2.toml").write_text("")
    return Session(plugin_files=[pathlib.Path("mine.py")], overrides={("api", "port"): "81"})


def test_children_get_the_same_session(session: Session, tmp_path: pathlib.Path) -> None:
    made = {spec.name: spec for spec in specs(session, "secret")}
    assert list(made) == ["ingest", "write", "serve"]
    given = ["--config", str(tmp_path / "k2.toml"), "--plugin", str(tmp_path / "mine.py")]
    assert list(made["write"].command[3:]) == [*given, "write"]
    assert list(made["serve"].command[-3:]) == ["serve", "--port", "81"]
    assert made["serve"].env == {"K2_API_KEY": "secret"}
    assert not any("secret" in part for spec in made.values() for part in spec.command)
    assert made["ingest"].env == made["write"].env == {}


def test_what_stays_in_the_log_is_named_last(session: Session) -> None:
    assert last_line(Ending(), session) == "k2 up: stopped"
    assert last_line(Ending(cut_short=["serve"]), session) == "k2 up: stopped; cut short: serve"
    status = StatusFile(session.config.run.path, "write", SystemClock(), Metrics())
    status.publish("stopped", facts={"remaining": {"trades": 12000}})
    wanted = "k2 up: stopped; not committed, stays in the log for the next start: 12,000 trades"
    assert last_line(Ending(), session) == wanted
